from simulator.core.sequence import Sequence
from simulator.metrics.state import EngineState, adapters_of
from tests.support.engines import a_profile


def test_an_embedding_counts_its_prompt_and_no_generation():
    state, sequence = EngineState(a_profile(), 0.0), Sequence(40, 0)

    state.token_made(sequence, None, 1.0)

    assert (40, 0) == (state.prompt_tokens, state.generation_tokens)


def test_a_sequence_that_gets_its_last_token_from_the_pass_under_way_still_runs():
    state, sequence = EngineState(a_profile(), 0.0), Sequence(40, 1)
    state.model.add(sequence, 0.0)
    state.ending = state.model.step(0.0).ended

    assert [sequence] == state.running


def test_adapters_are_listed_once_each_in_order_without_the_base_model():
    assert ["b", "a"] == adapters_of(Sequence(1, 1, adapter=name) for name in ("b", "", "a", "b"))
