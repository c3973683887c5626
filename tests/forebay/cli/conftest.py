"""Stand-ins for what the commands run."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from tests.support.configuration import STRATEGIES


@pytest.fixture
def replaced(monkeypatch) -> Callable[..., None]:
    """Replace a module that would start processes by one with the given names."""

    def replace(name: str, **names: Any) -> None:
        module = ModuleType(name)
        vars(module).update(names)
        package = name.rpartition(".")[0]
        if package not in sys.modules:
            monkeypatch.setitem(sys.modules, package, ModuleType(package))
        monkeypatch.setitem(sys.modules, name, module)

    return replace


@pytest.fixture
def calls() -> list[tuple[Any, ...]]:
    return []


@pytest.fixture
def record(calls) -> Callable[..., None]:
    return lambda *positional, **named: calls.append((*positional, named))


@pytest.fixture(autouse=True)
def known_strategies(replaced):
    replaced("routing.table", STRATEGIES=dict.fromkeys(STRATEGIES))
