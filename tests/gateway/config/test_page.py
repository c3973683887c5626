"""docs/config.md is what the settings say."""

from pathlib import Path

from gateway.config.keys import sections
from gateway.config.page import configuration_page

PAGE = Path(__file__).parents[3] / "docs" / "config.md"


def test_the_page_in_the_repository_is_up_to_date():
    assert configuration_page() == PAGE.read_text(encoding="utf-8"), "run `make docs`"


def test_every_key_has_a_row_of_four_cells():
    rows = [line for line in configuration_page().splitlines() if line.startswith("| `")]

    assert sum(len(section.keys) for section in sections()) == len(rows)
    assert {5} == {row.replace("\\|", "").count("|") for row in rows}
