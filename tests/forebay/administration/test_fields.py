import pytest

from forebay.administration.fields import changed, read_fields


def test_values_are_json_or_text_and_none_takes_a_field_off():
    words = ["rpm=3", "tpm=none", "name=my laptop", 'models={"a.b": {"rpm": 1}}', "budgets.day=100", "note=a=b"]

    assert {
        "rpm": 3, "tpm": None, "name": "my laptop", "models": {"a.b": {"rpm": 1}}, "budgets.day": 100, "note": "a=b",
    } == read_fields(words)  # fmt: skip


@pytest.mark.parametrize("words", [["rpm"], ["=3"], ["rpm=1", "rpm=2"]])
def test_other_words_are_refused(words: list[str]):
    with pytest.raises(ValueError, match=r"must be FIELD=VALUE, each field once"):
        read_fields(words)


def test_a_record_keeps_what_is_not_named():
    record = {"name": "u", "rpm": 1, "budgets": {"day": 5, "month": 9}}

    assert {"name": "u", "rpm": 2, "budgets": {"day": 7, "month": 9}} == changed(record, {"rpm": 2, "budgets.day": 7})
    assert {"name": "u", "budgets": {"day": 1}} == changed({"name": "u", "budgets": None}, {"budgets.day": 1})
