from typing import Any

import pytest
from pydantic import ValidationError

from runtime.bodies import LoadAdapterBody, SleepBody, UnloadAdapterBody


def test_both_generations_of_a_load_are_read():
    older = LoadAdapterBody.model_validate({"lora_name": "a", "lora_path": "/a"})
    newer = LoadAdapterBody.model_validate({"lora_name": "a", "artifact_url": "hf://o/a", "credentials": {"k": "v"}})

    assert ("/a", None) == (older.lora_path, older.artifact_url)
    assert (None, "hf://o/a", {"k": "v"}) == (newer.lora_path, newer.artifact_url, newer.credentials)


def test_files_are_removed_unless_a_body_says_otherwise():
    assert UnloadAdapterBody.model_validate({"lora_name": "a", "lora_int_id": 3}).cleanup_local
    assert not UnloadAdapterBody.model_validate({"lora_name": "a", "cleanup_local": False}).cleanup_local


@pytest.mark.parametrize("body", [
    {"lora_name": "a"}, {"lora_name": "a", "lora_path": "/a", "artifact_url": "/a"}, {"lora_path": "/a"},
    {"lora_name": "a", "lora_path": ""}, {"lora_name": "a", "lora_path": "/a", "lora_pth": "/a"},
])  # fmt: skip
def test_a_load_has_one_source_and_no_unknown_field(body: dict[str, Any]):
    with pytest.raises(ValidationError):
        LoadAdapterBody.model_validate(body)


@pytest.mark.parametrize("body", [{"level": 3}, {"level": 0}, {"drain_s": -1}, {"drain_s": "nan"}])
def test_a_sleep_has_a_level_and_a_time(body: dict[str, Any]):
    with pytest.raises(ValidationError):
        SleepBody.model_validate(body)
