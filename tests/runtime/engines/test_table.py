import pytest

from runtime.engines.engine import Engine
from runtime.engines.sglang import Sglang
from runtime.engines.table import engine_class
from runtime.engines.vllm import Vllm


@pytest.mark.parametrize(
    ("name", "kind"), [("vllm", Vllm), ("sglang", Sglang), ("trtllm", Engine), ("llamacpp", Engine), ("", Engine)]
)
def test_an_engine_that_is_not_known_is_any_engine(name: str, kind: type[Engine]):
    assert kind is engine_class(name)
