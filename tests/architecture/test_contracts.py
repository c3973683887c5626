"""docs/contracts.md has every section that the source names, and the paths of the data plane as they are."""

import re
from pathlib import Path

from gateway.openai.operations import Operation
from tests.support.source_tree import read, tracked_files

CONTRACTS = Path("docs/contracts.md")
REFERENCE = re.compile(r"contracts(?:\.md)? sections? (\d+)", re.IGNORECASE)
HEADING = re.compile(r"^## (\d+)\. ", re.MULTILINE)

PATHS = re.compile(r"^\*\*Paths\*\*.*?(?=^All else)", re.MULTILINE | re.DOTALL)
METHOD_OR_PATH = re.compile(r"\b(GET|POST|DELETE)\b|`(/[^`]+)`")


def operations_named(text: str) -> set[tuple[str, str]]:
    """Method and path of each operation in the table of paths: a method stands for all paths up to the next."""
    named, method = set(), ""
    for new_method, path in METHOD_OR_PATH.findall(PATHS.findall(text)[0]):
        method = new_method or method
        if path:
            named.add((method, path))
    return named


def sections_named(text: str) -> list[int]:
    """The numbers of the sections that a text names."""
    return [int(number) for number in REFERENCE.findall(text)]


def test_sections_are_numbered_without_gaps():
    assert list(range(1, 12)) == [int(number) for number in HEADING.findall(read(CONTRACTS))]


def test_every_section_that_the_source_names_is_there():
    sections = {int(number) for number in HEADING.findall(read(CONTRACTS))}
    named = {str(path): sections_named(read(path)) for path in tracked_files() if path.suffix in {".py", ".lua", ".md"}}

    assert {} == {path: missing for path, numbers in named.items() if (missing := set(numbers) - sections)}
    assert len([number for numbers in named.values() for number in numbers]) > len(sections)


def test_a_section_that_is_not_there_would_be_found():
    text = f"Contracts section {12}, and (docs/contracts.md sections {3} and 4)"

    assert [12, 3] == sections_named(text)


def test_section_1_lists_the_operations_that_there_are():
    assert {(operation.method, operation.path) for operation in Operation} == operations_named(read(CONTRACTS))


def test_an_operation_that_is_not_listed_would_be_found():
    text = "**Paths**\n\n| POST `/v1/a`,\n`/v1/b` (multipart); GET |\n`/v1/c` |\n\nAll else POST `/v1/d`\n"

    assert {("POST", "/v1/a"), ("POST", "/v1/b"), ("GET", "/v1/c")} == operations_named(text)
