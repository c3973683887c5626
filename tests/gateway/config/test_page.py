"""docs/config.md is what the settings say."""

from pathlib import Path

from gateway.config.page import configuration_page
from gateway.config.schema import sections

PAGE = Path(__file__).parents[3] / "docs" / "config.md"


def rows_of(section: str) -> dict[str, list[str]]:
    """Key -> type, default and meaning, in the table of this section."""
    _, _, rest = configuration_page().partition(f"\n## {section}\n")
    lines = [line for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {key.strip("`"): rest for key, *rest in cells}


def test_the_page_in_the_repository_is_up_to_date():
    assert configuration_page() == PAGE.read_text(encoding="utf-8"), "run `make docs`"


def test_every_key_has_a_row_of_four_cells():
    rows = [line for line in configuration_page().splitlines() if line.startswith("| `")]

    assert sum(len(section["properties"]) for _, section in sections()) == len(rows)
    assert {5} == {row.replace("\\|", "").count("|") for row in rows}


def test_types_are_given_in_words_with_their_bounds():
    endpoint, model = rows_of("`models[].endpoints[]`"), rows_of("`models[]`")

    assert "whole number, >= 0, <= 10" == rows_of("`routing`")["fallbacks"][0]
    assert "number, > 0, < 1" == rows_of("`limits`")["output_quantile"][0]
    assert "`deny` or `allow`" in rows_of("`redis`")["when_away"][0]
    assert "text, at least 1 character" == model["name"][0]
    assert ["whole number, >= 0, <= 9007199254740992", "`null`"] == model["rps"][:2]
    assert ["`auto` or list of text", "`[]`"] == endpoint["adapters"][:2]
    assert ["mapping of text to text", "`{}`"] == endpoint["labels"][:2]


def test_sections_are_told_from_values_and_explained_by_their_own_words():
    top = rows_of("Top level")

    assert ["mapping, see below", "`{}`"] == top["redis"][:2]
    assert ["list, see below", "`[]`"] == top["models"][:2]
    assert top["redis"][2] in configuration_page().partition("\n## `redis`\n")[2]


def test_a_required_key_is_not_confused_with_one_that_defaults_to_nothing():
    assert "*required*" == rows_of("`models[]`")["name"][1]
    assert '`""`' == rows_of("`models[]`")["strategy"][1]
