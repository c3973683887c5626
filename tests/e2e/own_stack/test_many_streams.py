"""Many concurrent streams, half of them cut by the client: none is lost, nothing stays counted.

FOREBAY_STREAMS, FOREBAY_STREAM_SECONDS and FOREBAY_STREAM_TRANSPORTS (http2,grpc) set the size; with `-n 0 -s` each
process's cost is shown.
"""

import asyncio
import os
import random
import sys
from pathlib import Path

import orjson
import pytest

from forebay.local.supervision.process import raise_open_file_limit
from tests.support.many import Costs, Stream, open_stream
from tests.support.outage import IN_FLIGHT, RESERVED, Stack, ask, request, running_up
from tests.support.polling import until

STREAMS = int(os.environ.get("FOREBAY_STREAMS", "300"))
TRANSPORTS = os.environ.get("FOREBAY_STREAM_TRANSPORTS", "http2").split(",")
SECONDS = float(os.environ.get("FOREBAY_STREAM_SECONDS", "6"))
TOKENS = 10 + round(SECONDS)
OPENED_PER_S = 200.0
HELD_S = SECONDS + 2 * STREAMS / OPENED_PER_S  # each lasts until long after the last was opened

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120 + 3 * HELD_S)]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_half_of_many_streams_are_cut_and_the_others_are_complete(tmp_path: Path, transport: str):
    raise_open_file_limit()
    async with running_up(tmp_path / "up", config=f"transport: {transport}") as stack:
        await stack.admin("CreateUser", name="lgy")
        wire = request("lgy", stream=True, max_tokens=TOKENS, seed=7, stream_options={"include_usage": True})
        said, prompt_tokens = await _reference(stack)
        await stack.set_speed(tokens_per_s=TOKENS / HELD_S)
        costs = Costs(stack.pids())

        streams = await _opened(stack, wire)
        at_once = await stack.gauge(IN_FLIGHT), await stack.gauge(RESERVED)
        cut = await _cut_half(streams)
        survivors = [stream for stream in streams if stream not in cut]
        await asyncio.gather(*(stream.ended for stream in streams))
        await stack.settles()

        sys.stdout.write(
            "\n".join((f"\n{transport}: {at_once} at once", *costs.lines(), f"usage {await stack.usage('lgy')}", ""))
        )
        assert (STREAMS, STREAMS) == at_once
        assert {said} == {stream.text() for stream in survivors}
        output = await stack.gauge("forebay_tokens_total", kind="output")
        assert output is not None
        whole, most = TOKENS * (1 + len(survivors)), TOKENS * (1 + STREAMS)
        assert whole < output < most  # those that were cut are charged for what they got, not for more
        usage = await stack.usage("lgy")
        if HELD_S < 30:  # else the first have left the window
            assert (STREAMS + 1, True) == (usage[0], whole < usage[1] < most + prompt_tokens * (1 + STREAMS))


async def _reference(stack: Stack) -> tuple[str, int]:
    """Return the text of the answer when it is not streamed, and the tokens of the prompt."""
    outcome = await ask(stack.port, request("lgy", max_tokens=TOKENS, seed=7))
    answer = orjson.loads(outcome.body)
    return answer["choices"][0]["message"]["content"], answer["usage"]["prompt_tokens"]


async def _opened(stack: Stack, wire: bytes) -> list[Stream]:
    """All of them, each with its first token."""
    streams = []
    for _ in range(STREAMS):
        streams.append(await open_stream(stack.port, wire))
        await asyncio.sleep(1 / OPENED_PER_S)
    await until(lambda: all(stream.speaks for stream in streams))
    return streams


async def _cut_half(streams: list[Stream]) -> set[Stream]:
    """At moments spread over half of the time; random ones, so that those that stay are of all ages."""
    cut = random.Random(1).sample(streams, STREAMS // 2)
    for stream in cut:
        stream.cut()
        await asyncio.sleep(SECONDS / 2 / STREAMS)
    return set(cut)
