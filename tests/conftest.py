"""Settings of every test, and the way in which pytest-xdist shares tests out among processes (`make test`)."""

from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from gateway.admission import admit

hypothesis.settings.register_profile("forebay", deadline=None)  # a busy machine makes no test wrong
hypothesis.settings.load_profile("forebay")

COMPILED = not admit.__file__.endswith(".py")
SHARED_STACK = "tests/e2e/shared_stack/"
"""A folder whose tests run in two processes, in their own order: there each stack is started once."""
HALF = SHARED_STACK + "test_l"
"""A name that divides its files into halves that take about as long."""
LONGEST_FIRST = ("e2e", "contract", "simulator", "forebay")
"""Folders whose files take long: started last, one of them would keep a processor busy alone."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, when compiled modules are tested, what only interpreted ones can be asked."""
    if COMPILED:
        for item in items:
            for mark in item.iter_markers("interpreted"):
                item.add_marker(pytest.mark.skip(reason=f"compiled: {mark.args[0]}"))
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    folder = item.nodeid.split("/")[1]
    return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)


class ByFile(LoadScopeScheduling):
    """Keeps a file in one process, because its tests share what its fixtures start; so does half of SHARED_STACK."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(SHARED_STACK):
            return f"{SHARED_STACK}{nodeid < HALF}"
        return nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)
