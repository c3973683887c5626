"""The file of a benchmark: each point is appended when it is measured, and a run that was interrupted goes on.

Lives here: reading what is there, appending.  Not here: the format of rows (optimizer.profiling.points).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optimizer.input.reading import InputError
from optimizer.profiling.points import Point, lines_of, parse_points


class Results:
    """Rows of one benchmark in a file that may hold those of others; `labels` tell them apart."""

    def __init__(self, file: Path, labels: Mapping[str, Any]) -> None:
        self.file = file
        self._labels = labels

    def known(self) -> Sequence[Point]:
        """Return the points that are there, and cut off a line that was not written to its end.

        Raises InputError for a file that holds something else, OSError when it cannot be read or written.
        """
        if not self.file.exists():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.touch()
            return ()
        text = self.file.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        try:
            points = parse_points(whole, self._labels).points
        except InputError as error:
            raise InputError([f"{self.file}: {problem}" for problem in error.problems]) from error
        with self.file.open("r+b") as file:
            file.truncate(len(whole))
        return points

    def add(self, point: Point, about: Mapping[str, Any]) -> None:
        """Append a point in one step.  Raises OSError."""
        with self.file.open("ab", buffering=0) as file:
            file.write(lines_of(point, {**self._labels, **about}).encode())
