"""Continuous batching as vLLM does it: the waiting queue, the batch, and what each pass computes.

Lives here: scheduling and preemption.  Not here: how long a pass takes (speed), the cache (blocks), the progress of
decoding sequences (decoding).

The caller owns the clock: `step(now_s)` runs one pass and returns its duration; what the result lists happens at the
pass's end.  A replay puts that end into its heap, a server sleeps until it.

Running sequences come first: each decoding sequence computes one token, then the partial prefill goes on.  After that,
waiting sequences start while the pass has tokens left and the cache has blocks.  A prompt that uses up the tokens of a
pass is the last to have joined, so there is at most one partial prefill, and it is the first to be preempted.
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
    """The sequence would not fit into the KV cache even if it were alone."""


class Step(NamedTuple):
    """The result of a pass.  Each sequence in `Engine.decoding` and in `ended` got one of its tokens."""

    duration_s: float
    tokens: int = 0  # output tokens generated
    first: tuple[Sequence, ...] = ()  # sequences that got their first token
    ended: tuple[Sequence, ...] = ()  # sequences that are complete


Prefills = list[tuple[Sequence, int]]
"""The sequences that prefill in a pass, each with the number of prompt tokens that it computes: its chunk."""


class Engine:
    """One engine.  `running` is the batch in the order of joining; `decoding` is the part of it that has prefilled.

    Changes of reusable blocks are appended to `changes`, if given.
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
        self._partial_prefill: Sequence | None = None
        self._paused_until_s = -math.inf
        self._last_end_s = 0.0

    def add(self, sequence: Sequence, now_s: float) -> None:
        """Put a sequence into the queue.  Raises TooLongError and UnknownAdapterError; then nothing was added."""
        self.adapters.check(sequence.adapter)
        if self._blocks_for(sequence.prompt_tokens + sequence.output_tokens) > self.blocks.total:
            raise TooLongError
        sequence.arrived_s = now_s
        self.waiting.append(sequence)

    def abort(self, sequence: Sequence) -> None:
        """Remove a sequence and free what it holds, at once.  Does nothing when it has ended."""
        if sequence in self.running:
            self._leave(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def pause_until(self, until_s: float) -> None:
        """Begin no pass before this time (infinity: until further notice).  A time in the past ends the pause."""
        self._paused_until_s = until_s

    def clear_cache(self) -> bool:
        """Empty the cache and return True; return False, and do nothing, while sequences hold blocks."""
        if self.running:
            return False
        self.blocks.clear()
        return True

    def crash(self) -> tuple[Sequence, ...]:
        """Restart with nothing cached, loaded or counted.  Return the sequences that are lost."""
        lost = (*self.running, *self.waiting)
        self._start_empty()
        return lost

    def step(self, now_s: float) -> Step | None:
        """Run one pass; None = no pass will begin until a sequence is added or an endless pause is ended."""
        if now_s < self._paused_until_s:
            return None if self._paused_until_s == math.inf else Step(self._paused_until_s - now_s)
        if not self.running and not self.waiting:
            return None
        preempted = self._allocate_decode_blocks()
        decodes = len(self.decoding)
        prefills = self._schedule_prefills(now_s, self.profile.pass_tokens - decodes, may_start=not preempted)
        chunks = _summed(prefills) if prefills else NO_CHUNKS
        duration_s = self.profile.speed.pass_s(decodes, self.decoding.tokens, chunks)
        self.totals.busy_s += duration_s
        self.totals.computed_tokens += decodes + chunks.new_tokens
        return self._finish_pass(now_s + duration_s, duration_s, decodes, prefills)

    def run(self, now_s: float, until_s: float) -> tuple[float, Step] | None:
        """Run a pass, and those after it that only decode and begin before `until_s`; return their end and result.

        The same as one `step` after the other, in a tenth of the time, for a caller that neither changes the engine nor
        looks at it before `until_s`.  It is over before a pass that ends a sequence, or needs more than there is.
        """
        step = self.step(now_s)
        if step is None:
            return None
        end_s = now_s + step.duration_s
        if end_s >= until_s or step.ended or self._paused_until_s > now_s or not self._only_decodes():
            return end_s, step
        return self._decode_on(until_s), step

    def _only_decodes(self) -> bool:
        """Tell whether nothing can start before a sequence ends."""
        if not self.decoding or self._partial_prefill is not None:
            return False
        return not self.waiting or len(self.running) >= self.profile.max_running

    def _decode_on(self, until_s: float) -> float:
        """Run passes in which all sequences of the batch decode; return the end of the last."""
        decoding, totals, blocks, pass_s = self.decoding, self.totals, self.blocks, self.profile.speed.pass_s
        decodes, end_s, passes = len(decoding), self._last_end_s, 0
        for filled in decoding.before_an_end():
            if end_s >= until_s or (filled and len(filled) > blocks.free):
                break
            if filled:
                self._allocate_decode_blocks()
            duration_s = pass_s(decodes, decoding.tokens)
            begun_s, end_s = end_s, end_s + duration_s
            totals.busy_s += duration_s
            totals.observe_itl(end_s - begun_s, decodes)
            decoding.advance()
            passes += 1
        totals.computed_tokens += passes * decodes
        totals.output_tokens += passes * decodes
        self._last_end_s = end_s
        return end_s

    # Before a pass: allocation and scheduling

    def _allocate_decode_blocks(self) -> bool:
        """Allocate a block for each decoding sequence that needs one; return whether any sequence was preempted."""
        before = self.totals.preemptions
        for sequence in tuple(self.decoding.filled()):
            if sequence in self.decoding:
                self._register_full(sequence, sequence.prompt_tokens + self.decoding.generated(sequence) - 1)
                self._allocate(sequence, 1)
        return self.totals.preemptions > before

    def _allocate(self, sequence: Sequence, count: int) -> bool:
        """Allocate blocks, preempting the sequences that joined last; False = `sequence` itself was preempted."""
        while not self.blocks.allocate(count):
            last = next(reversed(self.running))
            self._preempt(last)
            if last is sequence:
                return False
        sequence.blocks += count
        return True

    def _preempt(self, sequence: Sequence) -> None:
        """Put a sequence back at the head of the queue; its prompt and its output so far will be computed again."""
        self._leave(sequence)
        sequence.last_token_s = self._last_end_s
        self.totals.preemptions += 1
        self.waiting.appendleft(sequence)

    def _schedule_prefills(self, now_s: float, budget: int, *, may_start: bool) -> Prefills:
        """Return the prefills of the pass, with blocks allocated for them."""
        prefills: Prefills = []
        sequence = self._partial_prefill
        if sequence is not None:
            chunk = min(sequence.prompt_tokens + sequence.generated - sequence.computed, budget)
            if not self._allocate(sequence, self._blocks_for(sequence.computed + chunk) - sequence.blocks):
                return prefills
            prefills.append((sequence, chunk))
            budget -= chunk
        if may_start and self.waiting:
            self._schedule_waiting(now_s, budget, prefills)
        return prefills

    def _schedule_waiting(self, now_s: float, budget: int, prefills: Prefills) -> None:
        """Add waiting sequences to `prefills`: first come, first served, except that none waits for another's slot."""
        passed_over: list[Sequence] = []
        while self.waiting and budget and len(self.running) < self.profile.max_running:
            sequence = self.waiting.popleft()
            if not self.adapters.fits(sequence.adapter):
                passed_over.append(sequence)
                continue
            chunk = self._start(sequence, budget, now_s)
            if not chunk:
                passed_over.append(sequence)
                break
            prefills.append((sequence, chunk))
            budget -= chunk
        self.waiting.extendleft(reversed(passed_over))

    def _start(self, sequence: Sequence, budget: int, now_s: float) -> int:
        """Let a sequence join the batch; return how many tokens it computes in this pass, 0 = too few free blocks."""
        block_tokens = self.profile.block_tokens
        length = sequence.prompt_tokens + sequence.generated
        hits = self.blocks.cached_prefix(
            sequence.hashes, (length - 1) // block_tokens
        )  # the last token is always computed
        cached = hits * block_tokens
        chunk = min(length - cached, budget)
        blocks = self._blocks_for(cached + chunk)
        if not self.blocks.allocate_with_prefix(sequence.hashes, hits, blocks - hits):
            return 0
        sequence.blocks, sequence.hashed, sequence.computed = blocks, hits, cached
        self.running[sequence] = None
        self.adapters.join(sequence.adapter)
        if sequence.started_s is None:
            sequence.started_s, sequence.cached_tokens = now_s, cached
            self.totals.prefix_queries += length
            self.totals.prefix_hits += cached
        return chunk

    # After a pass: tokens

    def _finish_pass(self, end_s: float, duration_s: float, decodes: int, prefills: Prefills) -> Step:
        if decodes:
            self.totals.observe_itl(end_s - self._last_end_s, decodes)
        self._last_end_s = end_s
        ended = list(self.decoding.advance())
        for sequence in ended:
            self._end(sequence, end_s)
        tokens, first = decodes, []
        for sequence, chunk in prefills:
            if not self._compute(sequence, chunk):
                continue
            if sequence.first_token_s is None:
                first.append(sequence)
            tokens += self._generate_token(sequence, end_s)
            if sequence.generated < sequence.output_tokens:
                self.decoding.join(sequence)
            else:
                self._end(sequence, end_s)
                ended.append(sequence)
        self.totals.output_tokens += tokens
        return Step(duration_s, tokens, tuple(first), tuple(ended))

    def _compute(self, sequence: Sequence, chunk: int) -> bool:
        """Advance a prefill by `chunk` tokens; return whether it is done."""
        sequence.computed += chunk
        self._register_full(sequence, sequence.computed)
        done = sequence.computed == sequence.prompt_tokens + sequence.generated
        self._partial_prefill = None if done else sequence
        return done

    def _generate_token(self, sequence: Sequence, end_s: float) -> int:
        """Generate the token at the end of a prefill: the first, or after a preemption the next; none for an embedding.

        Return how many tokens that are.
        """
        if sequence.first_token_s is None:
            sequence.first_token_s = end_s
            self.totals.prompt_tokens += sequence.prompt_tokens
            self.totals.cached_tokens += sequence.cached_tokens
            self.totals.ttft_count += 1
            self.totals.ttft_sum_s += end_s - sequence.arrived_s
        else:
            self.totals.observe_itl(end_s - sequence.last_token_s, 1)
        token = min(sequence.output_tokens, 1)
        sequence.generated += token
        return token

    def _end(self, sequence: Sequence, end_s: float) -> None:
        self._leave(sequence)
        sequence.ended_s = end_s

    def _leave(self, sequence: Sequence) -> None:
        """Remove a sequence from the batch and free what it holds; its full blocks stay reusable."""
        if sequence in self.decoding:
            self.decoding.leave(sequence)
        elif sequence is self._partial_prefill:
            self._partial_prefill = None
        self._register_full(sequence, sequence.computed)
        self.blocks.release(sequence.hashes[: sequence.hashed], sequence.blocks - sequence.hashed)
        sequence.blocks = sequence.hashed = sequence.computed = 0
        del self.running[sequence]
        self.adapters.leave(sequence.adapter)

    def _register_full(self, sequence: Sequence, computed: int) -> None:
        """Register the hashes of the blocks that are full now, as far as they are known."""
        full = min(computed // self.profile.block_tokens, len(sequence.hashes))
        for number in range(sequence.hashed, full):
            if self.blocks.register(sequence.hashes[number]) and self._changes is not None:
                self._changes.append(Stored(sequence, number))
        sequence.hashed = max(sequence.hashed, full)

    def _blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.profile.block_tokens)


def _summed(prefills: Prefills) -> Chunks:
    new = context = attended = 0
    for sequence, chunk in prefills:
        new += chunk
        context += sequence.computed
        attended += chunk * sequence.computed + chunk * (chunk + 1) // 2
    return Chunks(len(prefills), new, context, attended)
