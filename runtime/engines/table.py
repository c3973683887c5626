"""The engines by name."""

from collections.abc import Mapping

from runtime.engines.engine import Engine
from runtime.engines.sglang import Sglang
from runtime.engines.vllm import Vllm

ENGINES: Mapping[str, type[Engine]] = {"vllm": Vllm, "sglang": Sglang}


def engine_class(name: str) -> type[Engine]:
    """Return the class for INFERENCE_ENGINE; for a name that is not known that of any engine with OpenAI's API."""
    return ENGINES.get(name, Engine)
