"""docs/contracts.md has every section that the source names."""

import re
from pathlib import Path

from tests.support.source_tree import read, tracked_files

CONTRACTS = Path("docs/contracts.md")
REFERENCE = re.compile(r"contracts(?:\.md)? sections? (\d+)", re.IGNORECASE)
HEADING = re.compile(r"^## (\d+)\. ", re.MULTILINE)


def sections_named(text: str) -> list[int]:
    """The numbers of the sections that a text names."""
    return [int(number) for number in REFERENCE.findall(text)]


def test_sections_are_numbered_without_gaps():
    assert list(range(1, 11)) == [int(number) for number in HEADING.findall(read(CONTRACTS))]


def test_every_section_that_the_source_names_is_there():
    sections = {int(number) for number in HEADING.findall(read(CONTRACTS))}
    named = {str(path): sections_named(read(path)) for path in tracked_files() if path.suffix in {".py", ".lua", ".md"}}

    assert {} == {path: missing for path, numbers in named.items() if (missing := set(numbers) - sections)}
    assert len([number for numbers in named.values() for number in numbers]) > len(sections)


def test_a_section_that_is_not_there_would_be_found():
    text = f"Contracts section {12}, and (docs/contracts.md sections {3} and 4)"

    assert [12, 3] == sections_named(text)
