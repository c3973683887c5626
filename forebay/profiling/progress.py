"""A progress bar on a terminal, and lines elsewhere: at most one in some seconds.

Lives here: how far a benchmark is.  Not here: the results.
"""

import sys
import time
from typing import TextIO

WIDTH = 30
LINE_EVERY_S = 10.0


class Progress:
    """Shows `done` of `total` cells and what is measured."""

    def __init__(self, total: int, out: TextIO | None = None) -> None:
        self._total = total
        self._out = out or sys.stderr
        self._begun_s = time.monotonic()
        self._shown_s = -LINE_EVERY_S
        self._is_terminal = self._out.isatty()

    def show(self, done: int, text: str) -> None:
        """Show the state: on a terminal in place of the last one, elsewhere now and then as a line."""
        now_s = time.monotonic()
        if self._is_terminal:
            filled = WIDTH * done // max(1, self._total)
            self._out.write(f"\r\x1b[K[{'#' * filled}{'.' * (WIDTH - filled)}] {self._line(done, text, now_s)}")
        elif now_s - self._shown_s >= LINE_EVERY_S or done == self._total:
            self._shown_s = now_s
            self._out.write(f"{self._line(done, text, now_s)}\n")
        self._out.flush()

    def end(self) -> None:
        """Leave the bar as it is."""
        if self._is_terminal:
            self._out.write("\n")

    def _line(self, done: int, text: str, now_s: float) -> str:
        took_s = now_s - self._begun_s
        rest = f", about {took_s / done * (self._total - done):.0f} s to go" if 0 < done < self._total else ""
        return f"{done} of {self._total} cells, {took_s:.0f} s{rest}: {text}"
