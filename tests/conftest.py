"""What holds for every test."""

import pytest

from gateway.admission import admit

COMPILED = not admit.__file__.endswith(".py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out, when compiled modules are tested, what only interpreted ones can be asked."""
    if not COMPILED:
        return
    for item in items:
        for mark in item.iter_markers("interpreted"):
            item.add_marker(pytest.mark.skip(reason=f"compiled: {mark.args[0]}"))
