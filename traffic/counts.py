"""Counts of one worker's traffic in the window that runs, by base model.

Lives here: counting, at every request.  Not here: when a window ends (gateway.accounting.traces), its format.
"""

from collections.abc import Mapping

from traffic.window import WINDOW_S, Lengths, Window, index_of


class _Tally:
    """The counts of one base model."""

    __slots__ = ("arrived", "completed", "model", "refused", "sent")

    def __init__(self, model: str) -> None:
        self.model = model
        self.arrived: dict[int, int] = {}  # by input index
        self.completed: dict[Lengths, int] = {}
        self.refused = 0
        self.sent: dict[str, int] = {}  # by deployment


class Counts:
    """Counts the models that it follows.  Other names, which clients may have made up, are ignored.

    An adapter counts as its base model, whose replicas do its work.
    """

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}  # by model and adapter
        self._by_base: dict[str, _Tally] = {}  # with those of models that have gone since `take`

    def follow(self, bases: Mapping[str, str | None]) -> None:
        """Count these models from now on, each as its base model.

        None = no engine has it now: it counts as before, or else as itself.
        """
        before = self._tallies
        self._tallies = {}
        for model, told in bases.items():
            base = told or (before[model].model if model in before else model)
            tally = self._by_base.get(base)
            if tally is None:
                tally = self._by_base[base] = _Tally(base)
            self._tallies[model] = tally

    def arrive(self, model: str, input_tokens: int) -> None:
        """Count a request that came and that no limit refuses, whether or not a replica can take it."""
        tally = self._tallies.get(model)
        if tally is not None:
            index = index_of(input_tokens)
            tally.arrived[index] = tally.arrived.get(index, 0) + 1

    def refuse(self, model: str) -> None:
        """Count a request that a limit refuses."""
        tally = self._tallies.get(model)
        if tally is not None:
            tally.refused += 1

    def send(self, model: str, deployment: str) -> None:
        """Count a request that was sent to a replica of a deployment; one without a name is not told."""
        tally = self._tallies.get(model)
        if tally is not None and deployment:
            tally.sent[deployment] = tally.sent.get(deployment, 0) + 1

    def complete(self, model: str, input_tokens: int, output_tokens: int) -> None:
        """Count a request that a replica has worked on."""
        tally = self._tallies.get(model)
        if tally is not None:
            lengths = index_of(input_tokens), index_of(output_tokens)
            tally.completed[lengths] = tally.completed.get(lengths, 0) + 1

    def take(self, starts_at_s: float, in_flight: Mapping[str, int], queued: Mapping[str, int]) -> dict[str, Window]:
        """Return the window that began at `starts_at_s` of every base model, idle ones too, and begin the next.

        `in_flight` and `queued` are requests by model, as they are now.
        """
        running, waiting = self._sums(in_flight), self._sums(queued)
        windows = {
            model: Window(
                WINDOW_S,
                arrivals=sum(tally.arrived.values()),
                completed=tally.completed,
                arrived_inputs=tally.arrived,
                in_flight=running.get(model, 0),
                queued=waiting.get(model, 0),
                refused=tally.refused,
                sent=tally.sent,
                starts_at_s=starts_at_s,
            )
            for model, tally in self._by_base.items()
        }
        self._by_base = {}
        self.follow({model: tally.model for model, tally in self._tallies.items()})
        return windows

    def _sums(self, numbers: Mapping[str, int]) -> dict[str, int]:
        sums: dict[str, int] = {}
        for model, number in numbers.items():
            tally = self._tallies.get(model)
            if tally is not None:
                sums[tally.model] = sums.get(tally.model, 0) + number
        return sums
