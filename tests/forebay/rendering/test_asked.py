"""The options of `forebay pools render`, and what follows from the engine's command."""

import pytest

from forebay.rendering.asked import Asked, Place, read_data, read_place


def test_the_command_says_model_and_port_in_both_spellings():
    spaced = Asked("kserve", "a", "i", "vllm serve --port 8080 --served-model-name qwen")
    joined = Asked("kserve", "a", "i", "vllm serve --port=8080 --served-model-name=org/Qwen")
    silent = Asked("deployment", "a", "i", "vllm serve /model")

    assert [("qwen", 8080), ("org/Qwen", 8080), ("a", 8000)] == [(x.model, x.port) for x in (spaced, joined, silent)]


def test_a_name_that_no_label_can_hold_is_an_annotation():
    asked = Asked("deployment", "a", "i", "serve --served-model-name org/Qwen")

    assert {"model.aibrix.ai/port": "8000"} == asked.model_labels
    assert {"model.aibrix.ai/name": "org/Qwen", "model.aibrix.ai/service-name": "a"} == asked.model_annotations


def test_names_are_kserves_or_the_servers_own():
    asked = [Asked(engine, "qwen-chat", "i", "serve") for engine in ("kserve", "deployment")]

    assert [("qwen-chat-predictor", "isvc.qwen-chat-predictor"), ("qwen-chat", "qwen-chat")] == [
        (each.workload, each.app) for each in asked
    ]
    assert "qwen-chat-default.example.com" == asked[0].host


def test_places_and_volumes_are_read_or_refused():
    assert Place("ecs", "alibabacloud.com/nodepool-id", "np1") == read_place("ecs:alibabacloud.com/nodepool-id=np1")
    assert ("llm-model", "/mnt/models/Qwen") == read_data("llm-model:/mnt/models/Qwen")
    for text in ("ecs", "ecs:label", "ecs:=x", ":a=b", ""):
        with pytest.raises(ValueError, match="must be RESOURCE"):
            read_place(text)
    for text in ("llm-model", "llm-model:relative", ":/path"):
        with pytest.raises(ValueError, match="must be CLAIM"):
            read_data(text)
