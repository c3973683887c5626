"""From a file to plain data: YAML without duplicate keys, `${NAME}` expanded, environment variables put in.

Lives here: text and plain data.  Not here: which keys there are and what they mean (settings, checks).
"""

import re
import unicodedata
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from yaml.constructor import ConstructorError
from yaml.reader import ReaderError

from gateway.config.problems import ConfigurationError, Problems
from gateway.config.validation import dotted

_ADVICE = "quotes, brackets, colons and blanks must be complete up to here"
_REFERENCE = re.compile(
    r"(?P<escaped>\$\$\{)"
    r"|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}"
    r"|(?P<malformed>\$\{[^}]*\}?)"
)


def read(path: Path, problems: Problems) -> Any:
    """Return the file's YAML as data, None if it is empty.  Raises ConfigurationError if it cannot be read as YAML."""
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        loader.problems = problems
        return loader.get_single_data()
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, impossible dates
        raise ConfigurationError((f"{path}: {_why_unreadable(error)}",)) from error


def _why_unreadable(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        is_odd = isinstance(error, ConstructorError)
        rule = "keys must be plain text, and there must be no tags" if is_odd else _ADVICE
        return f"not YAML, line {error.problem_mark.line + 1}: {rule}"
    return f"not YAML: {_why_not_text(error)}"


def _why_not_text(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} must be UTF-8"
    if isinstance(error, ReaderError):
        return f"character {error.position + 1} must not be a control character"
    if isinstance(error, RecursionError):
        return "it must not be nested so deeply"
    return "dates and numbers must be possible ones; text that looks like one must stand in quotes"


class _Loader(yaml.SafeLoader):
    """The safe loader, but a key given twice is a problem; PyYAML would silently take the last one."""

    problems: Problems

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        first_lines: dict[str, int] = {}
        for key, _ in node.value:
            line, name = key.start_mark.line + 1, str(key.value)
            if name in first_lines:
                text = f"line {line}: {name} is given twice, first on line {first_lines[name]}"
                self.problems.add(text, text)
            first_lines.setdefault(name, line)
        return super().construct_mapping(node, deep)


def expand(value: Any, environ: Mapping[str, str], problems: Problems, key: str = "") -> Any:
    """Return the data with `${NAME}` and `${NAME:-default}` replaced in strings, and `$${` by `${`.

    Mapping entries without a value (null) are left out: they mean the default.
    """
    if isinstance(value, str):
        return _expand_text(value, environ, problems, key)
    if isinstance(value, list):
        return [expand(item, environ, problems, dotted(key, index)) for index, item in enumerate(value)]
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str) or _is_unprintable(name):
                problems.add(dotted(key, str(name)), f"{dotted(key, repr(name))}, a key must be text in one line")
        return {
            name: expand(item, environ, problems, dotted(key, name))
            for name, item in value.items()
            if item is not None and isinstance(name, str)
        }
    return value


def _expand_text(text: str, environ: Mapping[str, str], problems: Problems, key: str) -> str:
    def replacement(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if match["escaped"]:
            return "${"
        if match["malformed"]:
            problems.add_value(key, text, "an environment reference is ${NAME} or ${NAME:-default}")
        elif default is not None:
            return environ.get(name) or default  # as in a shell: an empty variable takes the default too
        elif name not in environ:
            problems.add_value(key, text, f"the environment variable {name} is not set")
        else:
            return environ[name]
        return match[0]

    expanded = _REFERENCE.sub(replacement, text)
    if _is_unprintable(expanded):
        problems.add_value(key, expanded, "must contain no control characters")
    return expanded


def _is_unprintable(text: str) -> bool:
    """Return whether a text has control characters, which no header and no log can carry, or lone surrogates."""
    return not text.isprintable() and any(unicodedata.category(character) in {"Cc", "Cs"} for character in text)


def add_environment(data: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Set `redis.url` and `routing.strategy` from the environment unless the file sets them.

    The variables are REDIS_HOST, REDIS_PORT, REDIS_PASSWORD and ROUTING_ALGORITHM (docs/contracts.md section 8).
    """
    if environ.get("ROUTING_ALGORITHM"):
        _set_default(data, "routing", "strategy", environ["ROUTING_ALGORITHM"])
    if any(environ.get(name) for name in ("REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD")):
        _set_default(data, "redis", "url", _redis_url(environ))


def _redis_url(environ: Mapping[str, str]) -> str:
    host = environ.get("REDIS_HOST") or "127.0.0.1"
    port = environ.get("REDIS_PORT") or "6379"
    password = environ.get("REDIS_PASSWORD") or ""
    credentials = f":{quote(password, safe='')}@" if password else ""
    return f"redis://{credentials}{f'[{host}]' if ':' in host else host}:{port}/0"


def _set_default(data: dict[str, Any], section: str, key: str, value: str) -> None:
    """Set `section.key` unless the file did; a section that is not a mapping is left for validation to report."""
    chosen = data.setdefault(section, {})
    if isinstance(chosen, dict):
        chosen.setdefault(key, value)
