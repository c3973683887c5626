import pytest

from forebay.cli.mixing import DEFAULT_MIX
from forebay.local.mix.gpu_types import GpuType, parse_mix


def test_a_type_has_a_cost_and_bounds_and_each_may_be_left_out():
    assert (GpuType("L20", 1.5, 1, 4),) == parse_mix("L20:1.5:1:4")
    assert (GpuType("L20"), GpuType("V100", 0.6)) == parse_mix("L20, V100:0.6")
    assert (GpuType("L20", 1.0, 0, 2),) == parse_mix("L20:::2")


def test_the_most_is_at_least_the_least():
    assert [4, 9] == [parse_mix(text, most=4)[0].max_replicas for text in ("L20:1:3", "L20:1:9")]


def test_the_default_is_two_types_of_which_one_is_always_there():
    assert ["l20", "v100"] == [each.deployment for each in parse_mix(DEFAULT_MIX)]
    assert [0, 1] == [each.min_replicas for each in parse_mix(DEFAULT_MIX)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("X9", "gpu = 'X9', must be one of"),
        ("L20:dear", "must be TYPE"),
        ("L20:0", "its cost must be above 0"),
        ("L20:nan", "its cost must be above 0"),
        ("L20:1:3:2", "0 <= MIN <= MAX"),
        ("L20:1:0:2:5", "must be TYPE"),
        ("L20,V100,L20", "l20: must be there once"),
        ("", "must be TYPE"),
    ],
)
def test_what_is_no_mix_is_refused_with_the_reason(text: str, why: str):
    with pytest.raises(ValueError, match=why):
        parse_mix(text)
