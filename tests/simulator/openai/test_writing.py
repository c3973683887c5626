import struct

from simulator.openai.tokens import encode
from simulator.openai.writing import MAX_NATURAL, MIN_NATURAL, Writer

PROMPT = encode("Say this is a test!")


def compose(seed=0, choice=0, prompt=PROMPT, limit=40, **options):
    return Writer(seed).compose(prompt, choice, limit, **{"natural_end": False} | options)


def test_the_same_seed_prompt_and_choice_give_the_same_text():
    assert compose() == compose()


def test_another_seed_prompt_or_choice_gives_another_text():
    texts = {compose().text, compose(seed=1).text, compose(choice=1).text, compose(prompt=encode("No")).text}

    assert 4 == len(texts)


def test_a_maximum_is_always_reached():
    assert {(n, "length") for n in (1, 5, 10_000)} == {
        (len(output.pieces), output.finish_reason) for output in (compose(limit=n) for n in (1, 5, 10_000))
    }


def test_without_a_maximum_the_answer_ends_by_itself():
    output = compose(limit=8000, natural_end=True)

    assert MIN_NATURAL <= len(output.pieces) <= MAX_NATURAL
    assert "stop" == output.finish_reason


def test_without_a_maximum_the_context_still_limits():
    output = compose(limit=3, natural_end=True)

    assert (3, "length") == (len(output.pieces), output.finish_reason)


def test_a_stop_string_ends_the_text_before_it_and_is_named():
    full = compose(limit=200)
    word = full.text[100:104]

    output = compose(limit=200, stop=("not in it", word))

    assert full.text[: full.text.index(word)] == output.text
    assert ("stop", word) == (output.finish_reason, output.stop_reason)
    assert full.pieces[: len(output.pieces) - 3] == output.pieces[:-3]


def test_the_tokens_of_the_stop_string_are_made_though_not_shown():
    full = compose(limit=200)
    word = full.pieces[10] + full.pieces[11] + full.pieces[12] + full.pieces[13]

    output = compose(limit=200, stop=(word,))

    assert full.text.index(word) == len(output.text)
    assert full.text.startswith("".join(full.pieces[: len(output.pieces)]))
    assert word in "".join(full.pieces[: len(output.pieces)])


def test_a_vector_is_reproducible_and_of_the_asked_size():
    vector = Writer(3).embed(PROMPT, 8)

    assert vector == Writer(3).embed(PROMPT, 8)
    assert vector != Writer(4).embed(PROMPT, 8)
    assert all(-1 <= number <= 1 for number in struct.unpack("<8f", vector))
