"""LoRA adapters loaded and unloaded while the engine runs."""

from tests.contract.engine.test_answers import CHAT, a_chat, ask
from tests.support.engine_process import EngineProcess


def models(engine: EngineProcess) -> list[tuple[str, str | None]]:
    """Names and parents."""
    return [(model["id"], model["parent"]) for model in engine.client.get("/v1/models").json()["data"]]


def test_an_adapter_is_a_model_while_it_is_loaded(engine: EngineProcess) -> None:
    adapter = {"lora_name": "ad3", "lora_path": engine.adapter}

    loaded = ask(engine, "/v1/load_lora_adapter", adapter)
    twice = ask(engine, "/v1/load_lora_adapter", adapter)
    listed = models(engine)
    served = ask(engine, CHAT, a_chat(model="ad3"))
    unloaded = ask(engine, "/v1/unload_lora_adapter", {"lora_name": "ad3"})
    unknown = ask(engine, "/v1/unload_lora_adapter", {"lora_name": "ad3"})
    refused = ask(engine, CHAT, a_chat(model="ad3"))

    assert (200, b"Success: LoRA adapter 'ad3' added successfully.") == (loaded.status, loaded.body)
    assert (400, "InvalidUserInput") == (twice.status, twice.json["error"]["type"])
    assert [("tiny", None), ("ad3", "tiny")] == listed
    assert (200, "ad3") == (served.status, served.json["model"])
    assert (200, b"Success: LoRA adapter 'ad3' removed successfully.") == (unloaded.status, unloaded.body)
    assert (404, "NotFoundError") == (
        unknown.status,
        unknown.json["error"]["type"],
    )
    assert 404 == refused.status
    assert [("tiny", None)] == models(engine)


def test_lora_metrics_name_the_slots(engine: EngineProcess) -> None:
    ask(engine, "/v1/load_lora_adapter", {"lora_name": "ad4", "lora_path": engine.adapter})
    ask(engine, CHAT, a_chat(model="ad4"))

    assert engine.figure("vllm:lora_requests_info", max_lora="1") > 0

    ask(engine, "/v1/unload_lora_adapter", {"lora_name": "ad4"})
