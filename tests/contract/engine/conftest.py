"""Two engines, simulated or real.  Real ones are opt-in: `make test-vllm` says with FOREBAY_VLLM where vLLM is."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.engine_process import START_S, EngineProcess, running_engine

VLLM = os.environ.get("FOREBAY_VLLM", "")


REAL = [pytest.param(Path(VLLM).absolute(), id="vllm", marks=pytest.mark.timeout(2 * START_S))] if VLLM else []


@pytest.fixture(scope="session", params=[pytest.param(None, id="simulated"), *REAL])
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[EngineProcess]]:
    """Two of a kind, started side by side."""
    with ExitStack() as stack, ThreadPoolExecutor(2) as threads:
        blocks = [running_engine(tmp_path_factory.mktemp("engine"), request.param, core) for core in range(2)]
        yield list(threads.map(stack.enter_context, blocks))


@pytest.fixture
def engine(engines: list[EngineProcess]) -> EngineProcess:
    """The first of them."""
    return engines[0]
