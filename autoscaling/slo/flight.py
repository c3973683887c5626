"""Requests in flight as cohorts by progress: those that began together end together.

A pod that fills at once empties at once a service time later; a mean rate of completions does not show this, and lost
half a point to sixteen points in trials.

Lives here: cohorts.  Not here: what becomes of them with other pods (outlook).
"""

import msgspec

FIRST_COHORTS = 8
"""Cohorts that requests are divided into whose beginnings were not seen, as though they had come evenly."""


class Flight(msgspec.Struct):
    """Requests in flight.  The clock of progress runs by one while a request is served."""

    clock: float = 0.0
    before: float = 0.0
    """The clock before it last ran."""
    cohorts: list[tuple[float, float, float]] = []
    """Begin and end of each cohort's admission by the clock, and its requests; the oldest first."""

    @property
    def count(self) -> float:
        """Requests in flight."""
        return sum(count for _, _, count in self.cohorts)

    def advance(self, progress: float) -> float:
        """Let the clock run; return how many requests ended."""
        self.before, self.clock = self.clock, self.clock + progress
        ended, bound, done = 0.0, self.clock - 1, 0
        for begin, end, count in self.cohorts:
            if begin >= bound:
                break
            if end > bound:
                part = count * (bound - begin) / (end - begin)
                ended += part
                self.cohorts[done] = (bound, end, count - part)
                break
            ended += count
            done += 1
        del self.cohorts[:done]
        return ended

    def admit(self, count: float) -> None:
        """Let requests begin that came evenly while the clock last ran."""
        if count > 0:
            self.cohorts.append((max(self.before, self.clock - 1), self.clock, count))

    def scaled(self, factor: float) -> "Flight":
        """Return a copy with so many times the requests."""
        return Flight(self.clock, self.before, [(begin, end, count * factor) for begin, end, count in self.cohorts])

    def match(self, running: float) -> None:
        """Correct the cohorts to the requests that are seen to run."""
        count = self.count
        if count > 0:
            self.cohorts = self.scaled(running / count).cohorts if running > 0 else []
        elif running > 0:
            part = 1 / FIRST_COHORTS
            first = self.clock - 1
            begins = [first + number * part for number in range(FIRST_COHORTS)]
            self.cohorts = [(begin, begin + part, running * part) for begin in begins]
