"""A command whose extra is missing names it."""

import sys

import pytest

from forebay.local.extras import MissingExtraError, require


def test_what_is_installed_is_no_error_and_is_not_imported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)

    require("forebay up", "up", "json", "colorsys")

    assert "colorsys" not in sys.modules


def test_one_missing_module_is_an_error_that_names_the_command_and_the_extra():
    with pytest.raises(MissingExtraError) as caught:
        require("forebay up", "up", "json", "no_such_module")

    assert "forebay up needs the extra up: pip install 'forebay[up]'" == caught.value.message
