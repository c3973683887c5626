"""The settings of downloads: AIBrix's environment variables, and the options of one call over them.

Lives here: names, defaults and rules.  Not here: the environment itself (forebay.cli), what only one source reads
(runtime.downloads.sources).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.downloader import DownloadError

MIB = 1 << 20
MAX_THREADS = 256
"""Chosen: more connections than this no source gives a single client."""

_FLAGS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_BAD_REQUEST = 400

ALIASES: dict[str, dict[str, str]] = {
    "s3": {
        "ak": "AWS_ACCESS_KEY_ID", "sk": "AWS_SECRET_ACCESS_KEY", "endpoint": "AWS_ENDPOINT_URL",
        "region": "AWS_REGION", "token": "AWS_SESSION_TOKEN",
    },
    "tos": {
        "ak": "TOS_ACCESS_KEY", "sk": "TOS_SECRET_KEY", "endpoint": "TOS_ENDPOINT", "region": "TOS_REGION",
        "token": "TOS_SECURITY_TOKEN",
    },
    "hf": {"token": "HF_TOKEN", "endpoint": "HF_ENDPOINT", "revision": "HF_REVISION"},
    "gs": {"endpoint": "STORAGE_EMULATOR_HOST", "token": "GOOGLE_OAUTH_ACCESS_TOKEN"},
    "az": {
        "ak": "AZURE_STORAGE_ACCOUNT_NAME", "sk": "AZURE_STORAGE_ACCOUNT_KEY", "endpoint": "AZURE_STORAGE_ENDPOINT",
        "token": "AZURE_STORAGE_SAS_TOKEN",
    },
    "http": {"token": "http_token", "sha256": "http_sha256"},  # names that no environment has: any host would get it
}  # fmt: skip
"""Scheme -> short names of options, as AIBrix's `--download-extra-config` has them -> variables."""
ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "TOS_ENDPOINT", "HF_ENDPOINT", "STORAGE_EMULATOR_HOST",
             "AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_NAME",
             "AZURE_STORAGE_ACCOUNT")  # fmt: skip
"""Variables that decide which host is asked."""
CREDENTIALS = ("AWS_", "TOS_", "HF_", "GOOGLE_", "AZURE_")
"""Beginnings of variables that a call with an endpoint of its own does not take from the environment."""
GENERAL = ("num_threads", "part_threshold", "part_chunksize", "allow_file_suffix", "force_download",
           "check_file_exist", "verify_checksum", "retries", "timeout_s")  # fmt: skip
"""Options that every scheme has; each is the variable `DOWNLOADER_` and its name in capitals."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How files are fetched.  The defaults but for the last three are AIBrix's."""

    num_threads: int = 32
    """DOWNLOADER_NUM_THREADS: parts under way at once, of all files of an artifact, from 1 to 256."""
    part_threshold: int = 64 * MIB
    """DOWNLOADER_PART_THRESHOLD, in bytes: larger files are fetched in parts."""
    part_chunksize: int = 64 * MIB
    """DOWNLOADER_PART_CHUNKSIZE: bytes of a part."""
    allow_file_suffix: tuple[str, ...] = ()
    """DOWNLOADER_ALLOW_FILE_SUFFIX, with commas: only such files of a folder; empty takes all."""
    force_download: bool = False
    """DOWNLOADER_FORCE_DOWNLOAD: fetch what is there already, from the beginning."""
    check_file_exist: bool = True
    """DOWNLOADER_CHECK_FILE_EXIST: what is there in full is not fetched again.  Without it, it is; halves count."""
    verify_checksum: bool = True
    """DOWNLOADER_VERIFY_CHECKSUM: without it only sizes are compared, for stores whose ETags look like MD5s."""
    retries: int = 5
    """DOWNLOADER_RETRIES: attempts after the first that bring no byte; pauses are 0.5 s, doubled, at most 30 s."""
    timeout_s: float = 30.0
    """DOWNLOADER_TIMEOUT_S: an answer that brings nothing for so long counts as broken off."""


@dataclass(frozen=True, slots=True)
class Variables:
    """The environment with the options of one call over it, under the names of variables."""

    values: Mapping[str, str]
    has_machine: bool
    """Whether credentials of this machine may be used: files in the home, roles of instances and of pods."""

    def get(self, *names: str) -> str:
        """Return the first that is set and not empty; else an empty text."""
        return next((text for name in names if (text := self.values.get(name, "").strip())), "")


def read_settings(variables: Variables) -> Settings:
    """Return the settings.  Raises DownloadError, which names every variable that cannot be used."""
    problems: list[str] = []
    values: dict[str, Any] = {}
    for name in GENERAL:
        variable = f"DOWNLOADER_{name.upper()}"
        if not (text := variables.get(variable)):
            continue
        try:
            values[name] = _READERS[name](text)
        except ValueError as error:
            problems.append(f"{variable} = {text}, {error}")
    if problems:
        raise DownloadError("; ".join(problems), _BAD_REQUEST)
    return Settings(**values)


def variables_of(
    environment: Mapping[str, str], options: Mapping[str, Any], scheme: str, *, is_trusted: bool
) -> Variables:
    """Return the environment with `options` over it.

    Who is not trusted and names an endpoint brings its credentials too: those of the environment and of the machine do
    not go there.
    """
    aliases = ALIASES.get(scheme, {}) | {name: f"DOWNLOADER_{name.upper()}" for name in GENERAL}
    given = {aliases.get(name.lower(), name.upper()): _text(value) for name, value in options.items()}
    is_foreign = any(given.get(name) not in (None, environment.get(name)) for name in ENDPOINTS)
    has_machine = is_trusted or not is_foreign
    if not has_machine:
        environment = {name: value for name, value in environment.items() if not name.startswith(CREDENTIALS)}
    return Variables({**environment, **given}, has_machine)


def _text(value: object) -> str:
    """Return an option's value as variables have it."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


def _flag(text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ValueError("must be 1 or 0")
    return _FLAGS[text.lower()]


def _count(low: int, high: int) -> Any:
    def read(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return read


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:  # noqa: PLR2004 - the rule, as it is said
        raise ValueError("must be seconds, over 0 and up to 3600")
    return seconds


_READERS: dict[str, Any] = {
    "num_threads": _count(1, MAX_THREADS),
    "part_threshold": _count(0, 1 << 50),
    "part_chunksize": _count(1, 1 << 50),
    "allow_file_suffix": lambda text: tuple(part.strip() for part in text.split(",") if part.strip()),
    "force_download": _flag,
    "check_file_exist": _flag,
    "verify_checksum": _flag,
    "retries": _count(0, 100),
    "timeout_s": _seconds,
}
