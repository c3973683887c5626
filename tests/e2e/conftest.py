"""One stack at a time, shared by all tests that want the same combination of transport, modes and body mode."""

from collections.abc import Iterator

import pytest

from tests.support.own_engine import OwnEngine, own_engine
from tests.support.stack import COMBINATIONS, Stack, running_stack


@pytest.fixture(scope="session", params=COMBINATIONS)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two engines, one worker; pytest runs all tests of one combination before it starts the next."""
    config = COMBINATIONS[request.param]
    with running_stack(tmp_path_factory.mktemp(request.param), config=config) as running:
        yield running


@pytest.fixture(scope="session")
def _own(stack: Stack) -> Iterator[OwnEngine]:
    with own_engine() as engine:
        stack.serve("own", engine.address, adapters=("own-adapter",))
        yield engine


@pytest.fixture
def own(_own: OwnEngine) -> OwnEngine:
    """The engine of the model `own`, which keeps what it was sent; it has forgotten what earlier tests did."""
    _own.reset()
    return _own
