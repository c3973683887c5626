"""KV-cache events: what is stored, under which tokens, and nothing twice."""

from typing import Any
from uuid import uuid4

from tests.contract.engine.test_answers import CHAT, a_chat, ask
from tests.support.engine_process import EngineProcess
from tests.support.subscriber import Message, Subscriber


def a_long_chat(**changes: Any) -> dict[str, Any]:
    """Nobody has sent it before; a single token in answer, so that the answer fills no block."""
    return a_chat(messages=[{"role": "user", "content": f"{uuid4()} " * 40}], max_tokens=1) | changes


async def test_stored_blocks_come_with_their_tokens_chained_and_only_once(engine: EngineProcess) -> None:
    chat = a_long_chat()
    tokens = ask(engine, "/tokenize", chat).json["tokens"]
    longer = {**chat, "messages": [*chat["messages"], {"role": "assistant", "content": f"{uuid4()} " * 40}]}
    size = engine.block_tokens
    with Subscriber(engine.kv_events) as subscriber:

        async def provoke() -> None:
            ask(engine, CHAT, a_long_chat())

        _, before, _ = await subscriber.joined(provoke)
        for body in (chat, chat, longer):
            ask(engine, CHAT, body)
        first, second = [await subscriber.message() for _ in range(2)]

    assert [before + 1, before + 2] == [first[1], second[1]]  # the repeated one said nothing
    stored, more = only(first), only(second)
    blocks = len(stored["block_hashes"])
    assert ("BlockStored", size, None, None) == tuple(
        stored[key] for key in ("type", "block_size", "parent_block_hash", "lora_name")
    )
    assert (tokens[: blocks * size], len(tokens) // size) == (stored["token_ids"], blocks)
    assert stored["block_hashes"][-1] == more["parent_block_hash"]


async def test_an_adapters_blocks_carry_its_name_and_are_its_own(engine: EngineProcess) -> None:
    chat = a_long_chat()
    ask(engine, "/v1/load_lora_adapter", {"lora_name": "ad5", "lora_path": engine.adapter})
    with Subscriber(engine.kv_events) as subscriber:

        async def provoke() -> None:
            ask(engine, CHAT, a_long_chat())

        await subscriber.joined(provoke)
        for model in ("tiny", "ad5"):
            ask(engine, CHAT, chat | {"model": model})
        base, adapted = [only(await subscriber.message()) for _ in range(2)]
    ask(engine, "/v1/unload_lora_adapter", {"lora_name": "ad5"})

    assert base["token_ids"] == adapted["token_ids"]
    assert set(base["block_hashes"]).isdisjoint(adapted["block_hashes"])
    assert (None, "ad5", [["ad5"]] * len(adapted["block_hashes"])) == (
        base["lora_name"], adapted["lora_name"], adapted["extra_keys"],
    )  # fmt: skip


def only(message: Message) -> dict[str, Any]:
    """The one event of a message."""
    _, [event], rank = message[2]
    assert 0 == rank
    return dict(event)
