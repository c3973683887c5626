import pytest

from simulator.replay.shapes import SHAPES, generate


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_the_same_for_the_same_seed_and_has_its_rate(shape: str):
    trace = generate(shape, seed=1)

    assert trace == generate(shape, seed=1)
    assert trace != generate(shape, seed=2)
    assert pytest.approx(6.0, rel=0.15) == len(trace) / SHAPES[shape].duration_s
    assert trace == sorted(trace, key=lambda request: request.timestamp)


def test_only_the_long_shape_has_long_prompts_and_they_are_a_tenth():
    shares = {
        shape: sum(request.input_length > 2048 for request in trace) / len(trace)
        for shape in SHAPES
        if (trace := generate(shape))
    }

    assert {"chat": 0.0, "waves": 0.0} == {shape: shares[shape] for shape in ("chat", "waves")}
    assert pytest.approx(0.1, abs=0.01) == shares["long"]


def test_waves_rise_and_fall():
    counts = [0] * 18
    for request in generate("waves"):
        counts[int(request.timestamp / 200_000)] += 1

    assert max(counts) > 4 * min(counts)
    assert counts[0] < 0.5 * counts[4]


def test_an_unknown_shape_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="shape = 'x', must be one of: chat, long, waves"):
        generate("x")
