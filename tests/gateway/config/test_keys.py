"""Every setting is described, and the nearest key is found."""

from gateway.config.keys import nearest, sections
from gateway.config.settings import ModelSettings, Settings


def test_every_section_is_found_with_every_key():
    found = {section.path: [key.name for key in section.keys] for section in sections()}

    assert list(Settings.model_fields) == found[""]
    assert list(ModelSettings.model_fields) == found["models[]"]
    assert "models[].endpoints[]" in found


def test_every_key_has_a_meaning():
    assert [f"{section.path}.{key.name}" for section in sections() for key in section.keys if not key.meaning] == []


def test_types_are_given_in_words_with_their_bounds():
    kinds = {f"{section.path}.{key.name}": key.kind for section in sections() for key in section.keys}

    assert kinds["routing.fallbacks"] == "whole number, >= 0, <= 10"
    assert kinds["redis.when_away"] == "`local` or `deny` or `allow`"
    assert kinds["models[].endpoints[].labels"] == "mapping of text to text"
    assert (kinds[".redis"], kinds[".models"]) == ("mapping, see below", "list, see below")


def test_a_required_key_is_not_confused_with_one_that_defaults_to_nothing():
    keys = {f"{section.path}.{key.name}": key for section in sections() for key in section.keys}

    assert keys["models[].name"].required
    assert (keys["models[].strategy"].required, keys["models[].strategy"].default) == (False, "")


def test_the_nearest_key_of_the_section_comes_before_one_elsewhere():
    assert nearest("redis", "urll") == "did you mean url?"
    assert nearest("health", "url") == "did you mean redis.url?"
