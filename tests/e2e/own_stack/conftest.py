"""One stage for each module that wants one: a stack, and four engines for each of its tests."""

from collections.abc import Iterator

import pytest

from tests.support.stage import PODS, Cast, a_stage


@pytest.fixture(scope="module")
def _casts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[Cast]]:
    """As many as the module has tests that want one."""
    wanted = [item for item in request.session.items if item.path == request.path and "_casts" in _fixtures(item)]
    with a_stage(tmp_path_factory.mktemp("stage"), len(wanted)) as casts:
        yield iter(casts)


def _fixtures(item: pytest.Item) -> list[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else []


@pytest.fixture(scope="module")
def learned(_casts: Iterator[Cast]) -> Cast:
    """Four engines whose speeds are known; an L4 that is as fast as an L20 but for long prompts, where it is faster."""
    cast = next(_casts)
    cast.set_speed("l4", factor=3)
    for size in [(10, 1), (1000, 1), (10, 10), (2000, 1)] * 2:  # less than any cache holds
        cast.teach(*((pod, *size) for pod in PODS))
    return cast


@pytest.fixture
def cast(_casts: Iterator[Cast]) -> Cast:
    """Four unequal engines that nobody has used before."""
    return next(_casts)
