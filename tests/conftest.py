"""What holds for every test."""

import hypothesis
import pytest

from gateway.admission import admit

hypothesis.settings.register_profile("forebay", deadline=None)  # a busy machine makes no test wrong
hypothesis.settings.load_profile("forebay")

COMPILED = not admit.__file__.endswith(".py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out, when compiled modules are tested, what only interpreted ones can be asked."""
    if not COMPILED:
        return
    for item in items:
        for mark in item.iter_markers("interpreted"):
            item.add_marker(pytest.mark.skip(reason=f"compiled: {mark.args[0]}"))
