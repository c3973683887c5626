"""Clocks that a test moves."""

from kube.times import Clocks


class Hands:
    """The hands of both clocks."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def clocks(self) -> Clocks:
        return Clocks(lambda: self.now_s, lambda: 1_800_000_000 + self.now_s)
