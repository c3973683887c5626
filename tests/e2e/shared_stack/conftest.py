"""One stack at a time, shared by all tests that want the same combination of transport, modes and body mode.

A test runs on the default; `on` names others for what differs there.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.own_engine import OwnEngine, own_engine
from tests.support.stack import COMBINATIONS, DEFAULT, SPECIAL, Stack, running_stack

HERE = Path(__file__).parent
CONFIGURATIONS = COMBINATIONS | SPECIAL
_running = contextlib.ExitStack()


@pytest.fixture(scope="session", params=[DEFAULT])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two engines, one worker."""
    data = tmp_path_factory.mktemp(request.param)
    with _running:
        yield _running.enter_context(running_stack(data, config=CONFIGURATIONS[request.param]))


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


@pytest.hookimpl(trylast=True)  # after pytest's own ordering, which goes by positions in lists and not by names
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of one combination before the next is started."""
    places = [place for place, item in enumerate(items) if HERE in item.path.parents]
    ours = sorted((items[place] for place in places), key=_order)
    for place, item in zip(places, ours, strict=True):
        items[place] = item


def _order(item: pytest.Item) -> int:
    if item.name == "test_a_minute_begins":
        return -1
    if item.name == "test_retry_after_is_true":
        return len(CONFIGURATIONS) + 1
    return [*CONFIGURATIONS, None].index(_combination(item))


def _combination(item: pytest.Item) -> str | None:
    return (
        item.callspec.params.get("stack") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    )


@pytest.hookimpl(trylast=True)  # after the fixtures of the last test
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """The last stack does not run on beside tests that do not use it."""
    if nextitem is None or _combination(nextitem) is None:
        _running.close()
