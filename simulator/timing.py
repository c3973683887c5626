"""When each token comes: a batch of bounded size and a queue, without I/O and without a clock.

Lives here: admission to the batch and the time of every token.  Not here: who waits for tokens (engine).
This is the simple seam: speed does not depend on load.  A model of continuous batching replaces `Scheduler`
behind the same five calls: submit, abort, next_s, advance, set_speed.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from simulator.prefix_cache import PrefixCache
from simulator.profile import BLOCK_TOKENS, Profile, Speed


@dataclass(slots=True, eq=False)
class Sequence:
    """One output in the making; identity is equality."""

    prompt_tokens: int
    output_tokens: int  # 0: an embedding, which ends with its prefill
    arrived_s: float
    block_hashes: tuple[int, ...] = ()  # of the prompt's full blocks
    model: str = ""
    cached_tokens: int = 0
    started_s: float | None = None  # None = waiting
    made: int = 0  # output tokens so far
    token_s: float = 0.0  # when the last one came
    previous_s: float = 0.0  # when the one before came; for the first: arrival
    ended: bool = False

    @property
    def blocks(self) -> int:
        """KV blocks held now."""
        return _blocks(self.prompt_tokens + self.made)

    @property
    def reserved_blocks(self) -> int:
        """KV blocks held at its end; reserving them at the start is why nothing is ever preempted."""
        return _blocks(self.prompt_tokens + self.output_tokens)


class Scheduler:
    """First come, first served.  Every running sequence has one due time in a heap: O(log running) per token."""

    def __init__(self, profile: Profile) -> None:
        self.speed = profile.speed
        self.running: set[Sequence] = set()
        self.waiting: dict[Sequence, None] = {}  # in order of arrival
        self.prefix_queries = 0  # tokens
        self.prefix_hits = 0  # tokens
        self._profile = profile
        self._prefixes = PrefixCache(profile.kv_blocks)
        self._reserved_blocks = 0
        self._due: list[tuple[float, int, Sequence]] = []
        self._order = count()

    @property
    def kv_usage(self) -> float:
        """Share of the KV blocks that running sequences hold, [0, 1]."""
        return sum(sequence.blocks for sequence in self.running) / self._profile.kv_blocks

    def submit(self, sequence: Sequence, now_s: float) -> None:
        """Let `sequence` run as soon as the batch and the KV cache have room."""
        self.waiting[sequence] = None
        self._admit(now_s)

    def abort(self, sequence: Sequence, now_s: float) -> None:
        """Free what `sequence` holds, at once.  Nothing happens when it has ended."""
        if sequence.ended:
            return
        if sequence in self.waiting:
            del self.waiting[sequence]
            sequence.ended = True
        else:
            self._end(sequence)
        self._admit(now_s)

    def next_s(self) -> float | None:
        """When the next token is due; None = nothing runs."""
        while self._due and self._due[0][2].ended:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def advance(self, now_s: float) -> Iterator[Sequence]:
        """Make every token due by `now_s`, in order; yield its sequence after each.  Exhaust the iterator."""
        while (due_s := self.next_s()) is not None and due_s <= now_s:
            sequence = heapq.heappop(self._due)[2]
            self._make_token(sequence, due_s)
            yield sequence

    def set_speed(self, speed: Speed, now_s: float) -> None:
        """From now on.  A token that is already due later than the new speed would have it comes sooner."""
        self.speed = speed
        self._due = [(min(due_s, now_s + self._gap_s(s)), order, s) for due_s, order, s in self._due]
        heapq.heapify(self._due)

    def _admit(self, now_s: float) -> None:
        while self.waiting and len(self.running) < self._profile.max_running:
            sequence = next(iter(self.waiting))
            if self._reserved_blocks + sequence.reserved_blocks > self._profile.kv_blocks:
                return
            del self.waiting[sequence]
            self._start(sequence, now_s)

    def _start(self, sequence: Sequence, now_s: float) -> None:
        self.running.add(sequence)
        self._reserved_blocks += sequence.reserved_blocks
        hits = self._prefixes.admit(sequence.block_hashes)
        # As in vLLM the last prompt token is always computed: its logits are the first output token.
        sequence.cached_tokens = min(hits, (sequence.prompt_tokens - 1) // BLOCK_TOKENS) * BLOCK_TOKENS
        self.prefix_queries += sequence.prompt_tokens
        self.prefix_hits += sequence.cached_tokens
        sequence.started_s, sequence.token_s = now_s, sequence.arrived_s
        self._plan(sequence, now_s)

    def _make_token(self, sequence: Sequence, due_s: float) -> None:
        sequence.previous_s, sequence.token_s = sequence.token_s, due_s
        sequence.made = min(sequence.made + 1, sequence.output_tokens)
        if sequence.made == sequence.output_tokens:
            self._end(sequence)
            self._admit(due_s)
        else:
            self._plan(sequence, due_s)

    def _plan(self, sequence: Sequence, from_s: float) -> None:
        heapq.heappush(self._due, (from_s + self._gap_s(sequence), next(self._order), sequence))

    def _gap_s(self, sequence: Sequence) -> float:
        if sequence.made:
            return 1 / self.speed.tokens_per_s
        return self.speed.ttft_s + (sequence.prompt_tokens - sequence.cached_tokens) / self.speed.prefill_tokens_per_s

    def _end(self, sequence: Sequence) -> None:
        sequence.ended = True
        self.running.discard(sequence)
        self._reserved_blocks -= sequence.reserved_blocks


def _blocks(tokens: int) -> int:
    return -(-tokens // BLOCK_TOKENS)
