"""The messages by which replicas tell each other what they do, and their form on the wire (MessagePack).

Lives here: values, their bounds, encoding and decoding.  Not here: what a replica tells (gateway.fleet.outbox), what it
makes of what others tell (gateway.fleet.siblings, gateway.admission.queue), sending (sharing).

Loads are sums of the sender, so that the next message corrects what a lost one leaves behind.  What fades by itself
(seconds of prefill, processed tokens, counters) is told as its growth since the sender's last message.  Times are
differences, never clock readings: the clocks of replicas may differ by hours.
"""

from collections.abc import Iterator
from typing import Annotated, NamedTuple, TypeVar

import msgspec
from msgspec import Meta
from msgspec.structs import replace

FORMAT = 1
"""The number of this format.  Replicas ignore messages of another one, so that versions may run beside each other."""

MAX_PODS = 20_000
"""Pods, and events of one kind, in a message at most (chosen: several times the pods of a large fleet)."""
MAX_USERS = 1_000
"""Users of one model in a message at most, and models (chosen: a message is one of 50 ms)."""
MAX_TOLD = 256
"""Prompts, withdrawals or samples that a replica puts into a message; the next has the others (chosen: who hears it
takes so many prompts in some 7 ms, in which it does nothing else)."""
MAX_BLOCKS = 32_768
"""Blocks of a prompt that are told at most: those of 32 MiB of text (chosen: twice the longest that engines take)."""
BLOCK_SIZE = 8
"""Bytes of a block's hash, little-endian, as machines in use have it."""
MAX_NUMBER = 10**15
"""Numbers in a message at most: seconds, tokens or requests (chosen: far above what replicas count in seconds, even of
engines that report absurd numbers, and a float is exact there)."""

Name = Annotated[str, Meta(max_length=4096)]  # of a pod, model or user, which are bounded elsewhere
Count = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
Amount = Annotated[float, Meta(ge=0, le=MAX_NUMBER)]
Change = Annotated[float, Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Square = Annotated[float, Meta(ge=0, le=1e40)]  # of tokens over seconds, and sums of them
Product = Annotated[float, Meta(ge=-1e40, le=1e40)]
Users = Annotated[dict[Name, Amount], Meta(max_length=MAX_USERS)]
UserChanges = Annotated[dict[Name, Change], Meta(max_length=MAX_USERS)]


class PodLoad(NamedTuple):
    """The load that the sender alone put on a pod."""

    pod: Name  # its id
    in_flight: Count
    prefill_tokens: Count
    output_tokens: Count
    resident_tokens: Count
    extra_sequences: Count = 0  # by which engines count more sequences than requests
    sent: Count = 0  # requests ever sent to the pod
    prefill_s: Change = 0.0  # predicted seconds of prefill sent since the last message, less those given up
    processed_tokens: Amount = 0.0  # weighted tokens of requests that ended since the last message
    prefill_share: Amount | None = None  # share of the pod's time that prefill may take, if it changed
    wait_s: Amount | None = None  # the pod's predicted wait, if an answer has shortened it since the last message


class Prompt(NamedTuple):
    """A prompt that the sender sent to a pod, which caches it."""

    pod: Name
    blocks: Annotated[bytes, Meta(max_length=BLOCK_SIZE * MAX_BLOCKS)]  # the chain of routing.prefix.blocks
    block_tokens: Amount  # 0 = not known
    withdrawn: bool = False  # it was told before, and the pod did not compute it after all


class Sample(NamedTuple):
    """A request that ended, from which a pod's speed is learned; see `routing.pods.load.Load.learn`."""

    pod: Name
    uncached_tokens: Amount
    output_tokens: Count
    duration_s: Amount
    wait_s: Amount
    cost: Amount


class Proof(NamedTuple):
    """A pod failed a request, or answered one after it had failed others."""

    pod: Name
    failures: Count  # in a row; 0 = it answered
    ejected_s: Amount = 0.0  # seconds until it gets a request again


class Learned(NamedTuple):
    """The speed of a pod, or of its kind, as the sender has learned it; see `routing.pods.speed.Speed`."""

    pod: Name
    is_own: bool  # False: the speed of all pods of its kind
    requests: Count
    squares: tuple[Square, Square, Square]
    cross: tuple[Square, Square, Square]
    sums: tuple[Product, Product, Product]
    coefficients: tuple[Amount, Amount, Amount]


class Waiting(NamedTuple):
    """The requests of one model that wait at the sender."""

    model: Name
    work_s: Users  # by user: seconds of prefill
    best_effort_s: Users  # of requests without a promise, which wait for all others


class Share(msgspec.Struct, frozen=True, array_like=True):
    """One message: what changed since the sender's last one, or everything.

    In a message with everything, `PodLoad.prefill_s` is the pod's prefill backlog, `PodLoad.wait_s` its predicted wait,
    `charged` the counters themselves, `prompts` the latest that the sender knows, whoever sent them, and `learned` the
    speeds; in other messages there are none.
    """

    replica: Annotated[str, Meta(min_length=1, max_length=64)]  # the sender's name
    serial: Count  # of the sender's messages, without gaps; of one with everything that of the last before it
    prefix_key: Annotated[int, Meta(ge=0)] = 0  # digest of the key of block hashes; with another key they mean nothing
    everything: bool = False  # loads and waiting requests that are not mentioned are zero
    loads: Annotated[list[PodLoad], Meta(max_length=MAX_PODS)] = []
    prompts: Annotated[list[Prompt], Meta(max_length=MAX_PODS)] = []
    samples: Annotated[list[Sample], Meta(max_length=MAX_PODS)] = []
    proofs: Annotated[list[Proof], Meta(max_length=MAX_PODS)] = []
    charged: Annotated[dict[Name, UserChanges], Meta(max_length=MAX_USERS)] = {}  # model -> user -> `FairQueue` counter
    served: Users = {}  # user -> weighted tokens, for `vtc-basic`
    waiting: Annotated[list[Waiting], Meta(max_length=MAX_USERS)] = []  # models where it changed; no users = none wait
    learned: Annotated[list[Learned], Meta(max_length=MAX_PODS)] = []
    leaves: bool = False  # it is the sender's last: all its load is gone


class Letter(NamedTuple):
    """A message to one replica, on the channel of its own."""

    kind: Annotated[str, Meta(max_length=64)]
    sender: Annotated[str, Meta(min_length=1, max_length=64)]
    body: bytes  # what it holds is known to those who send and take letters of this kind


class _Envelope(NamedTuple):
    format: int
    content: msgspec.Raw


_ENCODER = msgspec.msgpack.Encoder()
_ENVELOPES = msgspec.msgpack.Decoder(_Envelope)
_SHARES = msgspec.msgpack.Decoder(Share)
_LETTERS = msgspec.msgpack.Decoder(Letter)
Content = TypeVar("Content")


class ForeignMessageError(ValueError):
    """The bytes are no message of ours; `kind` is why: "garbage", "format", or what the text explains."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


def encode(content: Share | Letter) -> bytes:
    """Return the message as it is published."""
    return _ENCODER.encode((FORMAT, content))


def pieces(share: Share) -> Iterator[Share]:
    """Yield messages with everything that have MAX_TOLD prompts each at most, and otherwise all that the share has."""
    for first in range(0, len(share.prompts) or 1, MAX_TOLD):
        yield replace(share, prompts=share.prompts[first : first + MAX_TOLD])


def decode(message: bytes) -> Share:
    """Return the message.  Raises ForeignMessageError for garbage, numbers out of bounds, and another format."""
    return _content(message, _SHARES)


def decode_letter(message: bytes) -> Letter:
    """Return the letter.  Raises ForeignMessageError as `decode` does."""
    return _content(message, _LETTERS)


def _content(message: bytes, decoder: msgspec.msgpack.Decoder[Content]) -> Content:
    try:
        envelope = _ENVELOPES.decode(message)
        if envelope.format != FORMAT:
            raise ForeignMessageError("format", f"format {envelope.format}, this version speaks {FORMAT}")
        return decoder.decode(envelope.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ForeignMessageError("garbage", str(error)) from error
