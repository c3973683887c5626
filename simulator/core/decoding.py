"""The sequences that decode.  All get one token in each pass, so most passes need not touch any of them.

Lives here: which sequence ends, or needs a block, in which pass.  Not here: blocks, prefill, the pass itself (engine).
A sequence's progress follows from the number of the pass: after pass n it has n - start_pass tokens, and it computes
token prompt + generated - 1 while it generates the next.  A pass costs O(sequences that start, end or fill a block).
"""

from collections.abc import Collection, Iterable, Iterator

from simulator.core.sequence import Sequence


class Decoding:
    """The sequences of the batch whose prefill is done, in the order in which it ended."""

    def __init__(self, block_tokens: int) -> None:
        self.passes = 0
        self.tokens = 0  # length of all sequences, the token that each computes next included
        self._members: dict[Sequence, None] = {}
        self._filling: list[dict[Sequence, None]] = [{} for _ in range(block_tokens)]  # by pass, modulo the block size
        self._ending: dict[int, dict[Sequence, None]] = {}  # by pass

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._members)

    def __contains__(self, sequence: Sequence) -> bool:
        return sequence in self._members

    def generated(self, sequence: Sequence) -> int:
        """Return the number of output tokens so far of any sequence."""
        return self.passes - sequence.start_pass if sequence in self._members else sequence.generated

    def before_an_end(self) -> Iterator[Collection[Sequence]]:
        """Yield `filled()` for each pass that can come before one in which a sequence gets its last token."""
        for number in range(self.passes + 1, min(self._ending)):
            yield self._filling[number % len(self._filling)]

    def filled(self) -> Collection[Sequence]:
        """Return the sequences whose blocks are full, so that they need one more for the next pass."""
        return self._filling[(self.passes + 1) % len(self._filling)]

    def advance(self) -> Iterable[Sequence]:
        """Give each sequence a token; return those for which it was the last.  They stay members until `leave`."""
        self.passes += 1
        self.tokens += len(self._members)
        return self._ending.get(self.passes, ())

    def join(self, sequence: Sequence) -> None:
        """Add a sequence whose prompt and `generated` tokens are computed."""
        sequence.start_pass = self.passes - sequence.generated
        self._members[sequence] = None
        self.tokens += sequence.prompt_tokens + sequence.generated
        self._filling[self._fills(sequence)][sequence] = None
        self._ending.setdefault(sequence.start_pass + sequence.output_tokens, {})[sequence] = None

    def leave(self, sequence: Sequence) -> None:
        """Remove a sequence and store its progress in it."""
        sequence.generated = self.generated(sequence)
        sequence.computed = sequence.prompt_tokens + sequence.generated - 1
        del self._members[sequence]
        self.tokens -= sequence.prompt_tokens + sequence.generated
        del self._filling[self._fills(sequence)][sequence]
        end = sequence.start_pass + sequence.output_tokens
        del self._ending[end][sequence]
        if not self._ending[end]:
            del self._ending[end]

    def _fills(self, sequence: Sequence) -> int:
        """Return the number, modulo the block size, of the passes before which its tokens fill whole blocks.

        Those are the passes with prompt + generated - 1 a multiple of the block size.
        """
        return (sequence.start_pass + 2 - sequence.prompt_tokens) % len(self._filling)
