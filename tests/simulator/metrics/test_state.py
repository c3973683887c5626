from simulator.core.sequence import Sequence
from simulator.metrics.state import EngineState, adapters_of
from tests.support.engines import a_profile


def test_an_embedding_counts_its_prompt_and_no_generation():
    state, sequence = EngineState(a_profile(), 0.0), Sequence(40, 0)

    state.token_made(sequence, None, 1.0)

    assert (40, 0) == (state.prompt_tokens, state.generation_tokens)


def test_who_makes_its_last_token_in_the_pass_under_way_still_runs():
    state, sequence = EngineState(a_profile(), 0.0), Sequence(40, 1)
    state.model.add(sequence, 0.0)
    state.ending = state.model.step(0.0).ended

    assert [sequence] == state.running


def test_adapters_are_told_once_each_in_order_and_the_base_model_is_none():
    assert ["b", "a"] == adapters_of(Sequence(1, 1, adapter=name) for name in ("b", "", "a", "b"))
