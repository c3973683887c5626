"""Documents: links lead somewhere, decisions are short and numbered without gaps."""

import re
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT, read, tracked_files

DECISION_LINES = 40
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)")

DOCUMENTS = [path for path in tracked_files() if path.suffix == ".md"]
DECISIONS = sorted(path for path in DOCUMENTS if path.parent == Path("docs/decisions"))


def broken_links(document: Path, text: str) -> list[str]:
    """Relative links of a document that lead to no file."""
    links = [link for link in LINK.findall(CODE_BLOCK.sub("", text)) if "://" not in link]
    return [link for link in links if not (ROOT / document.parent / link).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_relative_links_resolve(document: Path):
    assert [] == broken_links(document, read(document))


def test_a_broken_link_would_be_found():
    assert ["gone.md"] == broken_links(Path("docs/x.md"), "[a](../README.md#b) [c](gone.md) [d](https://example.org/e)")


def test_decisions_are_numbered_without_gaps():
    assert list(range(1, len(DECISIONS) + 1)) == [int(path.name[:4]) for path in DECISIONS]


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
def test_decisions_are_short(decision: Path):
    assert len(read(decision).splitlines()) <= DECISION_LINES
