import pytest

from tests.support.engines import a_profile


def test_a_cache_that_cannot_hold_the_longest_sequence_is_refused():
    with pytest.raises(ValueError, match="kv_blocks = 10 of 16 tokens, max_model_len = 200"):
        a_profile(kv_blocks=10, max_model_len=200)
