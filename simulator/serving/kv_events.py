"""KV-cache events over ZMQ, as vLLM 0.32 publishes them (recorded; events are maps since 0.24).

Lives here: the events' encoding and the socket.  Not here: changes of the cache (core.blocks).
One message per pass: topic, sequence number (8 bytes, big-endian), msgpack of [time, events, data-parallel rank].
"""

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import msgpack
import zmq

from simulator.core.blocks import Change, Removed, Stored
from simulator.core.sequence import Sequence
from simulator.openai.tokens import TOKEN_BYTES, token_ids

RANK = 0
PLACE = {"medium": "GPU", "group_idx": 0}


class KvEvents:
    """Publishes at a ZMQ endpoint, which it always binds (vLLM binds those with `*` and connects to others)."""

    def __init__(self, endpoint: str, topic: str, block_tokens: int, clock: Callable[[], float]) -> None:
        self._topic = topic.encode()
        self._block_tokens = block_tokens
        self._clock = clock
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise OSError(f"kv_events = {endpoint!r}: {error}") from error
        self.restart()

    def restart(self) -> None:
        """Number messages from 0, as a process does that has just started."""
        self._sequence_numbers = count()
        self._cleared = False
        self._adapter_ids: dict[str, int] = {}

    def clear(self) -> None:
        """Report with the next pass, as vLLM does, that all blocks were removed."""
        self._cleared = True

    def publish(self, changes: Iterable[Change], prompt: Callable[[Sequence], bytes]) -> None:
        """Send the changes; `prompt` returns the encoded prompt of a sequence that stored a block."""
        events = as_events(changes, prompt, self._adapter_id, self._block_tokens)
        if self._cleared:
            events.insert(0, {"type": "AllBlocksCleared"})
            self._cleared = False
        number = next(self._sequence_numbers)
        payload = msgpack.packb([self._clock(), events, RANK])
        self._socket.send_multipart((self._topic, number.to_bytes(8, "big"), payload), zmq.DONTWAIT)

    def _adapter_id(self, name: str) -> int | None:
        """Return an adapter's number: from 1, in the order of their first use."""
        return self._adapter_ids.setdefault(name, len(self._adapter_ids) + 1) if name else None

    def close(self) -> None:
        """Free the endpoint; messages that were not yet received are lost."""
        self._context.destroy(linger=0)


def as_events(
    changes: Iterable[Change],
    prompt: Callable[[Sequence], bytes],
    adapter_id: Callable[[str], int | None],
    block_tokens: int,
) -> list[dict[str, Any]]:
    """Return the changes as events: one for each run of consecutive blocks stored, one for each block removed."""
    events: list[dict[str, Any]] = []
    last: Stored | None = None
    for change in changes:
        if isinstance(change, Removed):
            events.append({"type": "BlockRemoved", "block_hashes": [change.hash], **PLACE})
            last = None
            continue
        sequence, number = change
        if last != (sequence, number - 1):
            events.append(_stored_event(sequence, number, adapter_id, block_tokens))
        size = block_tokens * TOKEN_BYTES
        event = events[-1]
        event["block_hashes"].append(sequence.hashes[number])
        event["token_ids"].extend(token_ids(prompt(sequence)[number * size : (number + 1) * size]))
        event["extra_keys"].append([sequence.adapter] if sequence.adapter else None)
        last = change
    return events


def _stored_event(
    sequence: Sequence, number: int, adapter_id: Callable[[str], int | None], block_tokens: int
) -> dict[str, Any]:
    """Return a BlockStored event that has no blocks yet; its keys are in vLLM's order."""
    return {
        "type": "BlockStored",
        "block_hashes": [],
        "parent_block_hash": sequence.hashes[number - 1] if number else None,
        "token_ids": [],
        "block_size": block_tokens,
        "lora_id": adapter_id(sequence.adapter),
        "medium": PLACE["medium"],
        "lora_name": sequence.adapter or None,
        "extra_keys": [],
        "group_idx": PLACE["group_idx"],
        "kv_cache_spec_kind": "full_attention",
    }
