"""The sequences that decode: all make one token in each pass, so none is touched in most passes.

Lives here: who ends and who fills a block in which pass.  Not here: blocks, prompts, the pass itself (engine).
A sequence's place follows from the number of the pass: after pass n it has made n - base tokens, and it computes token
prompt + made - 1 while it makes the next.  A pass costs O(sequences that start, end or fill a block in it).
"""

from collections.abc import Iterable, Iterator

from simulator.core.sequence import Sequence


class Decoding:
    """Those of the batch whose prompt is done, in the order in which it was."""

    def __init__(self, block_tokens: int) -> None:
        self.passes = 0
        self.tokens = 0  # length of all, the token that each computes next included
        self._members: dict[Sequence, None] = {}
        self._filling: list[dict[Sequence, None]] = [{} for _ in range(block_tokens)]  # by pass, modulo the block size
        self._ending: dict[int, dict[Sequence, None]] = {}  # by pass

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._members)

    def __contains__(self, sequence: Sequence) -> bool:
        return sequence in self._members

    def made(self, sequence: Sequence) -> int:
        """Output tokens of any sequence so far."""
        return self.passes - sequence.base if sequence in self._members else sequence.made

    def filled(self) -> Iterable[Sequence]:
        """Those whose blocks are full, so that they need one more for the next pass."""
        return self._filling[(self.passes + 1) % len(self._filling)]

    def advance(self) -> Iterable[Sequence]:
        """Each makes a token; return those for whom it was the last.  They are still here."""
        self.passes += 1
        self.tokens += len(self._members)
        return self._ending.get(self.passes, ())

    def join(self, sequence: Sequence) -> None:
        """Its prompt is done and its `made` tokens are."""
        sequence.base = self.passes - sequence.made
        self._members[sequence] = None
        self.tokens += sequence.prompt_tokens + sequence.made
        self._filling[self._fills(sequence)][sequence] = None
        self._ending.setdefault(sequence.base + sequence.output_tokens, {})[sequence] = None

    def leave(self, sequence: Sequence) -> None:
        """Write down in it how far it has come."""
        sequence.made = self.made(sequence)
        sequence.computed = sequence.prompt_tokens + sequence.made - 1
        del self._members[sequence]
        self.tokens -= sequence.prompt_tokens + sequence.made
        del self._filling[self._fills(sequence)][sequence]
        end = sequence.base + sequence.output_tokens
        del self._ending[end][sequence]
        if not self._ending[end]:
            del self._ending[end]

    def _fills(self, sequence: Sequence) -> int:
        """The number, modulo the block size, of the passes before which prompt + made - 1 tokens fill whole blocks."""
        return (sequence.base + 2 - sequence.prompt_tokens) % len(self._filling)
