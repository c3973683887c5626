"""Continuous batching as vLLM does it: the waiting queue, the batch, and what each pass computes.

Lives here: the order of work and preemption.  Not here: how long a pass takes (speed), the cache (blocks), where each
decoding sequence stands (decoding).

Whoever drives it owns the clock: `step(now_s)` runs one pass and says how long it took; what it names is true at its
end.  A replay puts that end into its heap, a server sleeps until it.

Running sequences come first: each that decodes computes one token, then the one whose prompt is part-done goes on; then
waiting ones start while the pass has tokens left and the cache has blocks.  A prompt that exhausts the pass is the last
to have joined, so at most one is part-done, and it is the first to be preempted.
"""

import math
from collections import deque
from typing import NamedTuple

from simulator.core.adapters import Adapters
from simulator.core.blocks import Change, KvBlocks, Stored
from simulator.core.decoding import Decoding
from simulator.core.gpus import GpuProfile
from simulator.core.sequence import Sequence
from simulator.core.speed import NO_CHUNKS, Chunks
from simulator.core.totals import Totals


class TooLongError(Exception):
    """The sequence would not fit the KV cache even if it had it for itself."""


class Step(NamedTuple):
    """What happens in `duration_s`.  The tokens made are one each by those in `Engine.decoding` and in `ended`."""

    duration_s: float
    tokens: int = 0
    first: tuple[Sequence, ...] = ()  # made their first token
    ended: tuple[Sequence, ...] = ()  # are done


Parts = list[tuple[Sequence, int]]
"""Sequences, and how many tokens of its prompt each computes in a pass."""


class Engine:
    """One engine.  `running` is the batch in the order of joining; `decoding` are those of it whose prompt is done.

    What happens to reusable blocks is appended to `changes`, if given.
    """

    def __init__(self, profile: GpuProfile, changes: list[Change] | None = None) -> None:
        self.profile = profile
        self._changes = changes
        self._start_empty()

    def _start_empty(self) -> None:
        self.waiting: deque[Sequence] = deque()
        self.running: dict[Sequence, None] = {}
        self.decoding = Decoding(self.profile.block_tokens)
        self.blocks = KvBlocks(self.profile.kv_blocks, self._changes)
        self.adapters = Adapters(self.profile.adapter_slots)
        self.totals = Totals()
        self._part_done: Sequence | None = None
        self._held_until_s = -math.inf
        self._last_end_s = 0.0

    def add(self, sequence: Sequence, now_s: float) -> None:
        """Let it start in the next pass that has room.

        Raises TooLongError and UnknownAdapterError; then nothing was added.
        """
        self.adapters.check(sequence.adapter)
        if self._blocks_for(sequence.prompt_tokens + sequence.output_tokens) > self.blocks.total:
            raise TooLongError
        sequence.arrived_s = now_s
        self.waiting.append(sequence)

    def abort(self, sequence: Sequence) -> None:
        """Free what it holds, at once.  Nothing happens when it has ended."""
        if sequence in self.running:
            self._leave(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def hold(self, until_s: float) -> None:
        """Begin no pass before then: a stall, a slow start, sleep (infinity).  A time that has passed ends it."""
        self._held_until_s = until_s

    def clear_cache(self) -> bool:
        """Forget all blocks; False while sequences hold some: nothing is forgotten then."""
        if self.running:
            return False
        self.blocks.clear()
        return True

    def crash(self) -> tuple[Sequence, ...]:
        """Start again: nothing cached, loaded or counted.  Return the sequences that are lost."""
        lost = (*self.running, *self.waiting)
        self._start_empty()
        return lost

    def step(self, now_s: float) -> Step | None:
        """Run one pass; None = nothing will happen until a sequence is added or a hold without end is ended."""
        if now_s < self._held_until_s:
            return None if self._held_until_s == math.inf else Step(self._held_until_s - now_s)
        if not self.running and not self.waiting:
            return None
        preempted = self._make_room()
        decodes = len(self.decoding)
        parts = self._prompt_parts(now_s, self.profile.pass_tokens - decodes, may_start=not preempted)
        chunks = _summed(parts) if parts else NO_CHUNKS
        duration_s = self.profile.speed.pass_s(decodes, self.decoding.tokens, chunks)
        self.totals.busy_s += duration_s
        self.totals.computed_tokens += decodes + chunks.new_tokens
        return self._finish_pass(now_s + duration_s, duration_s, decodes, parts)

    # Before the pass: blocks for tokens, and prompts

    def _make_room(self) -> bool:
        """Give a block to each decoding sequence that needs one; return whether any was preempted for it."""
        before = self.totals.preemptions
        for sequence in tuple(self.decoding.filled()):
            if sequence in self.decoding:
                self._name_full(sequence, sequence.prompt_tokens + self.decoding.made(sequence) - 1)
                self._take(sequence, 1)
        return self.totals.preemptions > before

    def _take(self, sequence: Sequence, count: int) -> bool:
        """Give it blocks, preempting the last to have joined; False = that was itself."""
        while not self.blocks.take(count):
            last = next(reversed(self.running))
            self._preempt(last)
            if last is sequence:
                return False
        sequence.blocks += count
        return True

    def _preempt(self, sequence: Sequence) -> None:
        """Put it back to the head of the queue, to be computed again, the tokens that it made included."""
        self._leave(sequence)
        sequence.paused_s = self._last_end_s
        self.totals.preemptions += 1
        self.waiting.appendleft(sequence)

    def _prompt_parts(self, now_s: float, budget: int, *, may_start: bool) -> Parts:
        """Return the parts of prompts that the pass computes, having taken blocks for them."""
        parts: Parts = []
        sequence = self._part_done
        if sequence is not None:
            part = min(sequence.prompt_tokens + sequence.made - sequence.computed, budget)
            if not self._take(sequence, self._blocks_for(sequence.computed + part) - sequence.blocks):
                return parts
            parts.append((sequence, part))
            budget -= part
        if may_start and self.waiting:
            self._start_waiting(now_s, budget, parts)
        return parts

    def _start_waiting(self, now_s: float, budget: int, parts: Parts) -> None:
        """Add to `parts`.  First come, first served, but nobody waits behind one that waits for an adapter's slot."""
        passed_over: list[Sequence] = []
        while self.waiting and budget and len(self.running) < self.profile.max_running:
            sequence = self.waiting.popleft()
            if not self.adapters.fits(sequence.adapter):
                passed_over.append(sequence)
                continue
            part = self._start(sequence, budget, now_s)
            if not part:
                passed_over.append(sequence)
                break
            parts.append((sequence, part))
            budget -= part
        self.waiting.extendleft(reversed(passed_over))

    def _start(self, sequence: Sequence, budget: int, now_s: float) -> int:
        """Let it join the batch; return how many tokens it computes in this pass, 0 = there are too few blocks."""
        block_tokens = self.profile.block_tokens
        length = sequence.prompt_tokens + sequence.made
        hits = self.blocks.leading(sequence.hashes, (length - 1) // block_tokens)  # the last token is always computed
        cached = hits * block_tokens
        part = min(length - cached, budget)
        blocks = self._blocks_for(cached + part)
        if not self.blocks.claim(sequence.hashes, hits, blocks - hits):
            return 0
        sequence.blocks, sequence.named, sequence.computed = blocks, hits, cached
        self.running[sequence] = None
        self.adapters.join(sequence.adapter)
        if sequence.started_s is None:
            sequence.started_s, sequence.cached_tokens = now_s, cached
            self.totals.prefix_queries += length
            self.totals.prefix_hits += cached
        return part

    # After the pass: tokens

    def _finish_pass(self, end_s: float, duration_s: float, decodes: int, parts: Parts) -> Step:
        if decodes:
            self.totals.observe_itl(end_s - self._last_end_s, decodes)
        self._last_end_s = end_s
        ended = list(self.decoding.advance())
        for sequence in ended:
            self._end(sequence, end_s)
        tokens, first = decodes, []
        for sequence, part in parts:
            if not self._compute(sequence, part):
                continue
            if sequence.first_s is None:
                first.append(sequence)
            tokens += self._make_token(sequence, end_s)
            if sequence.made < sequence.output_tokens:
                self.decoding.join(sequence)
            else:
                self._end(sequence, end_s)
                ended.append(sequence)
        self.totals.output_tokens += tokens
        return Step(duration_s, tokens, tuple(first), tuple(ended))

    def _compute(self, sequence: Sequence, part: int) -> bool:
        """Move a prompt on; return whether it is done."""
        sequence.computed += part
        self._name_full(sequence, sequence.computed)
        done = sequence.computed == sequence.prompt_tokens + sequence.made
        self._part_done = None if done else sequence
        return done

    def _make_token(self, sequence: Sequence, end_s: float) -> int:
        """What the end of a prompt gives: the first token, after a preemption the next; no token for an embedding."""
        if sequence.first_s is None:
            sequence.first_s = end_s
            self.totals.prompt_tokens += sequence.prompt_tokens
            self.totals.cached_tokens += sequence.cached_tokens
            self.totals.ttft_count += 1
            self.totals.ttft_sum_s += end_s - sequence.arrived_s
        else:
            self.totals.observe_itl(end_s - sequence.paused_s, 1)
        token = min(sequence.output_tokens, 1)
        sequence.made += token
        return token

    def _end(self, sequence: Sequence, end_s: float) -> None:
        self._leave(sequence)
        sequence.ended_s = end_s

    def _leave(self, sequence: Sequence) -> None:
        """Take it out of the batch and give back what it holds; its full blocks stay reusable."""
        if sequence in self.decoding:
            self.decoding.leave(sequence)
        elif sequence is self._part_done:
            self._part_done = None
        self._name_full(sequence, sequence.computed)
        self.blocks.give_back(sequence.hashes[: sequence.named], sequence.blocks - sequence.named)
        sequence.blocks = sequence.named = sequence.computed = 0
        del self.running[sequence]
        self.adapters.leave(sequence.adapter)

    def _name_full(self, sequence: Sequence, computed: int) -> None:
        """Make the blocks that are full now reusable, as far as their hashes are known."""
        full = min(computed // self.profile.block_tokens, len(sequence.hashes))
        for number in range(sequence.named, full):
            if self.blocks.name(sequence.hashes[number]) and self._changes is not None:
                self._changes.append(Stored(sequence, number))
        sequence.named = max(sequence.named, full)

    def _blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.profile.block_tokens)


def _summed(parts: Parts) -> Chunks:
    new = context = attended = 0
    for sequence, part in parts:
        new += part
        context += sequence.computed
        attended += part * sequence.computed + part * (part + 1) // 2
    return Chunks(len(parts), new, context, attended)
