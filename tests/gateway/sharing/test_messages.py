from math import inf, nan

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.sharing.messages import (
    FORMAT,
    MAX_BLOCKS,
    MAX_NUMBER,
    MAX_USERS,
    ForeignMessageError,
    Learned,
    PodLoad,
    Prompt,
    Proof,
    Sample,
    Share,
    Waiting,
    decode,
    encode,
    pieces,
)

LOAD = PodLoad("ns/a", 3, 1200, 300, 4000, 7, 90, -0.25, 12.5, 0.75, 0.5)
SHARE = Share(
    "0123456789ab",
    7,
    prefix_key=2**64 - 1,
    everything=True,
    loads=[LOAD, PodLoad("ns/b", 0, 0, 0, 0)],
    prompts=[Prompt("ns/a", bytes(range(16)), 256.5), Prompt("ns/a", b"", 0.0, withdrawn=True)],
    samples=[Sample("ns/a", 100.0, 20, 1.5, 0.1, 140.0)],
    proofs=[Proof("ns/a", 2, 1.5), Proof("ns/b", 0)],
    charged={"m": {"ann": 12.0, "": -3.0}},
    served={"ann": 5.0},
    learned=[Learned("ns/a", True, 9, (1.0, 2.0, 3e25), (0.0, 1.0, 2.0), (-1.0, 5.0, 6.0), (0.1, 1e-9, 0.01))],
    waiting=[Waiting("m", {"ann": 1.5}, {"bob": 9.0}), Waiting("other", {}, {})],
)


def test_a_message_arrives_as_it_was_sent():
    assert SHARE == decode(encode(SHARE))


def test_everything_is_cut_into_pieces_of_few_prompts_that_have_all_else():
    prompts = [Prompt("ns/a", bytes([number % 256] * 8), 1.0) for number in range(600)]
    whole = replace(SHARE, prompts=prompts)

    cut = list(pieces(whole))

    assert [256, 256, 88] == [len(piece.prompts) for piece in cut]
    assert prompts == [prompt for piece in cut for prompt in piece.prompts]
    assert {encode(replace(whole, prompts=[]))} == {encode(replace(piece, prompts=[])) for piece in cut}
    assert [replace(whole, prompts=[])] == list(pieces(replace(whole, prompts=[])))


def test_a_message_without_content_is_small():
    heartbeat = Share("0123456789ab", 2**32)

    assert heartbeat == decode(encode(heartbeat))
    assert len(encode(heartbeat)) < 40


@pytest.mark.parametrize("number", [nan, inf, -inf, -1.0, MAX_NUMBER * 2.0])
@pytest.mark.parametrize("field", [f for f, value in LOAD._asdict().items() if isinstance(value, float)])
def test_numbers_out_of_bounds_are_refused(field: str, number: float):
    if (field, number) == ("prefill_s", -1.0):
        return  # a request was given up
    with pytest.raises(ForeignMessageError):
        decode(encode(Share("a", 1, loads=[LOAD._replace(**{field: number})])))


@pytest.mark.parametrize(
    "share",
    [
        Share("", 1),
        Share("a" * 65, 1),
        Share("a", -1),
        Share("a", 1, loads=[LOAD._replace(in_flight=-1)]),
        Share("a", 1, loads=[LOAD._replace(pod="p" * 5000)]),
        Share("a", 1, prompts=[Prompt("p", bytes(8 * MAX_BLOCKS + 8), 1.0)]),
        Share("a", 1, samples=[Sample("p", 1.0, 1, nan, 0.0, 1.0)]),
        Share("a", 1, proofs=[Proof("p", 1, inf)]),
        Share("a", 1, charged={"m": {"u": inf}}),
        Share("a", 1, served={"u": -1.0}),
        Share("a", 1, served=dict.fromkeys(map(str, range(MAX_USERS + 1)), 1.0)),
        Share("a", 1, learned=[Learned("p", False, 1, (1.0, inf, 1.0), (1.0,) * 3, (1.0,) * 3, (1.0,) * 3)]),
        Share("a", 1, waiting=[Waiting("m", {"u": nan}, {})]),
    ],
)
def test_absurd_messages_are_refused(share: Share):
    with pytest.raises(ForeignMessageError):
        decode(encode(share))


def test_another_format_is_refused_whatever_it_holds():
    for content in (SHARE, None, {"new": 1}, [[[]]]):
        with pytest.raises(ForeignMessageError, match=f"format {FORMAT + 1}"):
            decode(msgspec.msgpack.encode((FORMAT + 1, content)))


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda tail: encode(SHARE)[: len(tail)] + tail))
def test_garbage_is_refused(garbage: bytes):
    with pytest.raises(ForeignMessageError):
        decode(garbage)


def test_deep_nesting_is_refused():
    with pytest.raises(ForeignMessageError):
        decode(b"\x92\x01" + b"\x91" * 100_000)


@given(st.data())
def test_a_damaged_message_is_refused_or_is_within_bounds(data: st.DataObject):
    message = bytearray(encode(SHARE))
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        share = decode(bytes(message))
    except ForeignMessageError:
        return
    assert all(0 <= amount <= MAX_NUMBER for load in share.loads for amount in (load.in_flight, load.processed_tokens))
    assert share == decode(encode(share))
