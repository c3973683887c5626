"""Scripts for sans-IO machines: `Playbook(machine) >> event << command << command >> event ...`.

`>>` feeds an event, `<<` names the next command it must have caused; a feed or the end must leave none over.
"""

from typing import Any, Protocol, Self


class Machine(Protocol):
    def step(self, event: Any) -> list[Any]: ...


class Playbook:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.pending: list[Any] = []

    def __rshift__(self, event: Any) -> Self:
        assert [] == self.pending, "commands that nobody expected"
        self.pending = list(self.machine.step(event))
        return self

    def __lshift__(self, expected: Any) -> Self:
        assert self.pending, f"no command, expected {expected}"
        actual = self.pending.pop(0)
        assert expected(actual) if callable(expected) else expected == actual, f"{actual}"
        return self

    def __bool__(self) -> bool:
        """`assert Playbook(...) >> ...`: true when nothing is left over."""
        assert [] == self.pending, "commands that nobody expected"
        return True
