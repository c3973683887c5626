import json
from pathlib import Path

import msgpack
import pytest

from simulator.core.blocks import Removed, Stored
from simulator.core.engine import Engine
from simulator.core.sequence import Sequence
from simulator.openai.tokens import block_hashes, encode, token_ids
from simulator.serving.kv_events import KvEvents, as_events
from tests.support.engines import a_chat, a_profile, an_engine
from tests.support.ports import free_address
from tests.support.shapes import shape
from tests.support.subscriber import Subscriber

RECORDED = [
    json.loads(line) for line in (Path(__file__).parents[1] / "recordings" / "kv_events.jsonl").read_text().splitlines()
]
CHAT = "/v1/chat/completions"
PROMPT = encode("x" * 64 * 3)


def a_sequence(adapter=""):
    return Sequence(48, 1, block_hashes(PROMPT, adapter or "tiny", 16), adapter)


def events(*changes):
    ids = {"ad1": 1}
    return as_events(changes, lambda _: PROMPT, ids.get, 16)


def test_blocks_in_a_row_are_one_event_and_others_are_not():
    sequence = a_sequence()
    changes = [Stored(sequence, 0), Stored(sequence, 1), Removed(7), Stored(sequence, 2)]

    first, removed, second = events(*changes)

    assert (list(sequence.hashes[:2]), None) == (first["block_hashes"], first["parent_block_hash"])
    assert token_ids(PROMPT[: 4 * 32]) == first["token_ids"]
    assert {"type": "BlockRemoved", "block_hashes": [7], "medium": "GPU", "group_idx": 0} == removed
    assert ([sequence.hashes[2]], sequence.hashes[1]) == (second["block_hashes"], second["parent_block_hash"])


@pytest.mark.parametrize(("number", "adapter"), [(0, ""), (2, "ad1")])
def test_an_event_has_the_recorded_keys_in_their_order(number, adapter):
    recorded = RECORDED[number]["decoded"][1][0]

    sequence = a_sequence(adapter)

    (ours,) = events(*(Stored(sequence, block) for block in range(3)))

    assert shape(recorded) == shape(ours)
    assert recorded["lora_id"] == ours["lora_id"]


def test_removals_have_the_recorded_keys_and_come_one_by_one():
    recorded = RECORDED[-1]["decoded"][1][:2]

    assert [shape(event) for event in recorded] == [
        shape(event) for event in events(Removed(2**63), Removed(2**63 + 1))
    ]


def test_the_model_reports_blocks_stored_and_removed():
    changes = []
    model = Engine(a_profile(kv_blocks=12, max_model_len=16).gpu, changes)
    for start in (0, 100, 200):
        model.add(Sequence(5 * 16, 1, range(start, start + 5)), 0.0)
        model.step(0.0)

    stored = [change.sequence.hashes[change.number] for change in changes if isinstance(change, Stored)]
    removed = [change.hash for change in changes if isinstance(change, Removed)]

    assert [*range(5), *range(100, 105), *range(200, 205)] == stored
    assert [4, 3, 2] == removed  # 12 blocks; the oldest prompt's tail goes first


def a_long_chat(letter):
    return a_chat(messages=[{"role": "user", "content": letter * 1000}])


async def test_messages_are_numbered_and_framed_as_recorded_and_repeat_nothing_that_is_cached():
    address = f"tcp://{free_address()}"
    letters, chat = iter("abcdefghijklmnopqrstuvwxyz"), a_long_chat("0")
    async with an_engine(kv_events=address) as (running, client):
        with Subscriber(address) as subscriber:
            _, before, _ = await subscriber.joined(lambda: client.post(CHAT, json=a_long_chat(next(letters))))
            await client.post(CHAT, json=chat)
            await client.post(CHAT, json=chat)
            await client.post("/reset_prefix_cache")
            await client.post(CHAT, json=chat)
            messages = [await subscriber.message() for _ in range(2)]

        tokens = (await client.post("/tokenize", json=chat)).json()["tokens"]

    assert {f"kv@{running.address}@tiny".encode()} == {topic for topic, _, _ in messages}
    assert [before + 1, before + 2] == [number for _, number, _ in messages]
    (_, [stored], rank), (_, [cleared, again], _) = (payload for _, _, payload in messages)
    assert (0, 16, tokens[: len(tokens) // 16 * 16]) == (rank, stored["block_size"], stored["token_ids"])
    assert ({"type": "AllBlocksCleared"}, stored) == (cleared, again)


def test_an_endpoint_that_cannot_be_bound_is_an_error():
    with pytest.raises(OSError, match="kv_events = 'tcp://nowhere'"):
        KvEvents("tcp://nowhere", "t", 16, lambda: 0.0)


def test_the_payload_is_msgpack_of_time_events_and_rank():
    recorded = RECORDED[0]
    payload = bytes.fromhex(recorded["payload_hex"])

    assert payload == msgpack.packb(recorded["decoded"])
