from simulator.core.decoding import Decoding
from tests.support.model_engine import a_sequence


def joined(decoding: Decoding, prompt: int, output: int):
    """A sequence that has just generated its first token."""
    sequence = a_sequence(prompt, output)
    sequence.generated = 1
    decoding.join(sequence)
    return sequence


def test_every_sequence_makes_a_token_in_each_pass():
    decoding = Decoding(4)
    early = joined(decoding, 8, 9)
    decoding.advance()
    late = joined(decoding, 8, 9)
    decoding.advance()

    assert (3, 2, 2) == (decoding.generated(early), decoding.generated(late), len(decoding))


def test_a_sequence_ends_in_the_pass_of_its_last_token():
    decoding = Decoding(4)
    sequence = joined(decoding, 8, 3)
    ends = [list(decoding.advance()) for _ in range(2)]

    assert [[], [sequence]] == ends


def test_a_block_is_needed_before_the_pass_that_computes_its_first_token():
    decoding = Decoding(4)
    sequence = joined(decoding, 6, 99)  # its seventh token is the next to be computed
    needed = []
    for _ in range(8):
        needed.append(list(decoding.filled()) == [sequence])
        decoding.advance()

    assert [False, False, True, False, False, False, True, False] == needed


def test_a_prompt_that_fills_its_blocks_needs_one_at_once():
    decoding = Decoding(4)
    sequence = joined(decoding, 8, 99)

    assert [sequence] == list(decoding.filled())


def test_the_length_of_all_is_that_of_each():
    decoding = Decoding(4)
    joined(decoding, 8, 9)
    leaving = joined(decoding, 20, 9)
    decoding.advance()
    before = decoding.tokens
    decoding.leave(leaving)

    assert (10 + 22, 10) == (before, decoding.tokens)


def test_a_sequence_that_leaves_keeps_its_progress_and_is_forgotten():
    decoding = Decoding(4)
    sequence = joined(decoding, 8, 3)
    decoding.advance()
    decoding.leave(sequence)

    assert (2, 9, 2) == (sequence.generated, sequence.computed, decoding.generated(sequence))
    assert ([], False, 0) == (list(decoding.advance()), sequence in decoding, len(list(decoding)))
