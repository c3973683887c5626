"""GPU profiles: the requests per second that one replica carries inside an SLO, by output and input length.

The JSON is that of AIBrix (docs/contracts.md, section 6), with what version 2 adds: `fit`, `tput_lo`, `max_model_len`,
`classes`.

Lives here: the fields and their rules, the repair of what is not monotone, interpolation between the measured lengths.
Not here: where profiles are kept, numbers and problems (reading), the queue model (capacity).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp2, log2
from typing import Any

from optimizer.input.reading import InputError, Reader, finite, shown
from optimizer.profiles.capacity import Fit, Slo, capacity

Grid = tuple[tuple[float, ...], ...]
"""Values by output length and input length."""

FIT_KEYS = ("alpha", "beta", "gamma", "delta")
QUEUE, CHUNKED = "queue", "chunked"
"""Names of the models that a fit may be of."""
MILLISECONDS = 1e-3
MOST_BATCH = 10_000
"""The queue model has a state for each request that runs or waits; no engine runs so many at once (chosen)."""
SLO_KEYS = {"ttft": "ttft", "tpot": "itl", "itl": "itl", "e2e": "e2e"}
"""Names of targets in a profile's `slos`, and ours; TPOT is the mean time between tokens."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Requests per second of one replica, and whether that lies beyond the lengths that were measured."""

    rate: float
    extrapolated: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """Measurements of a deployment."""

    deployment: str
    cost: float
    outputs: tuple[float, ...]
    """Measured output lengths in tokens, ascending."""
    inputs: tuple[float, ...]
    """Measured input lengths in tokens, ascending."""
    throughput: Grid
    """Requests per second inside the SLO; 0 = it cannot be kept."""
    slo: Slo
    """Targets that it was measured for."""
    fit: Fit | None = None
    max_model_len: float | None = None
    repaired: tuple[str, ...] = ()
    """Cells that were lowered, because longer requests cannot be faster to serve."""
    percentile: float = 0.0
    """Percentile of the latencies that its targets bound; 0 = the mean."""
    classes: tuple[tuple[Slo, Grid], ...] = ()
    """Throughput inside other SLOs, which were measured too."""
    created_s: float = 0.0
    """Unix time of the measurement; 0 = it is not told."""

    def at(
        self, input_tokens: float, output_tokens: float, slo: Slo | None = None, slowdown: float = 1.0
    ) -> Throughput:
        """Return what one replica carries of requests of these lengths.

        With a `fit` it is computed for any SLO and slowdown; else it is interpolated from what was measured.  A
        chunked fit only tells changes, and the level is that of what was measured.
        `slowdown` is by how much everything may take longer than measured.
        """
        if self.max_model_len is not None and input_tokens + output_tokens > self.max_model_len:
            return Throughput(0.0)
        target = self.slo if slo is None else slo
        outside = self._is_outside(input_tokens, output_tokens)
        grid = self.throughput_for(target)
        if self.fit and self.fit.is_chunked:
            return Throughput(self._scaled(self.fit, input_tokens, output_tokens, target, slowdown), outside)
        if self.fit and (outside or slowdown != 1.0 or grid is None):
            return Throughput(capacity(self.fit.slower(slowdown), input_tokens, output_tokens, target), outside)
        return Throughput(self._measured(grid or self.throughput, input_tokens, output_tokens) / slowdown, outside)

    def throughput_for(self, slo: Slo) -> Grid | None:
        """Return what was measured for an SLO; None = nothing was."""
        if slo == self.slo:
            return self.throughput
        return next((grid for known, grid in self.classes if known == slo), None)

    def _scaled(self, fit: Fit, input_tokens: float, output_tokens: float, slo: Slo, slowdown: float) -> float:
        """Return what was measured, times the change that the model predicts from there to these conditions."""
        measured_slo, grid = self.slo, self.throughput
        if (exact := self.throughput_for(slo)) is not None:
            measured_slo, grid = slo, exact
        into = min(max(input_tokens, self.inputs[0]), self.inputs[-1])
        out = min(max(output_tokens, self.outputs[0]), self.outputs[-1])
        measured = self._measured(grid, into, out)
        if (into, out, measured_slo, 1.0) == (input_tokens, output_tokens, slo, slowdown):
            return measured
        if not measured and measured_slo == slo:
            return 0.0
        base = capacity(fit, into, out, measured_slo)
        scale = measured / base if measured and base else 1.0
        return scale * capacity(fit.slower(slowdown), input_tokens, output_tokens, slo)

    def _is_outside(self, input_tokens: float, output_tokens: float) -> bool:
        axes = (self.inputs, input_tokens), (self.outputs, output_tokens)
        return any(not ticks[0] <= tokens <= ticks[-1] for ticks, tokens in axes)

    def _measured(self, grid: Grid, input_tokens: float, output_tokens: float) -> float:
        """Interpolate linearly in the logarithms of lengths and throughput.

        Next to a length that cannot be served the result is 0.  Shorter than measured counts as the shortest; longer
        takes time in proportion.
        """
        low, high, along = _place(self.outputs, output_tokens)
        left, right, across = _place(self.inputs, input_tokens)
        corners = [
            (o, i, v * h)
            for o, v in ((low, 1 - along), (high, along))
            for i, h in ((left, 1 - across), (right, across))
        ]
        parts = [(grid[o][i], weight) for o, i, weight in corners if weight > 0]
        if any(value == 0 for value, _ in parts):
            return 0.0
        beyond = max(1.0, output_tokens / self.outputs[-1]) * max(1.0, input_tokens / self.inputs[-1])
        return exp2(sum(weight * log2(value) for value, weight in parts)) / beyond


def _place(ticks: Sequence[float], tokens: float) -> tuple[int, int, float]:
    """Return the ticks around a length, and how far between them it lies, 0 to 1, on a logarithmic scale."""
    if tokens <= ticks[0] or len(ticks) == 1:
        return 0, 0, 0.0
    if tokens >= ticks[-1]:
        return len(ticks) - 1, len(ticks) - 1, 0.0
    high = next(index for index, tick in enumerate(ticks) if tick >= tokens)
    low = high - 1
    return low, high, log2(tokens / ticks[low]) / log2(ticks[high] / ticks[low])


def parse_profile(text: str | bytes) -> Profile:
    """Return the profile of a JSON text.  Raises InputError with all that is wrong."""
    reader = _Reader()
    value = reader.load(text)
    if not isinstance(value, dict):
        raise InputError(["a profile must be an object"])
    return reader.profile(value)


class _Reader(Reader):
    """Reads the fields of a profile."""

    def profile(self, fields: Mapping[str, Any]) -> Profile:
        """Return the profile.  Raises InputError."""
        gpu = fields.get("gpu")
        if not isinstance(gpu, str) or not gpu:
            self.problems.append(f"gpu = {shown(gpu)}, must be the name of the deployment")
        cost = self.number("cost", fields.get("cost"))
        outputs, inputs = self._ticks(fields.get("indexes"))
        shape = len(outputs), len(inputs)
        measured = self._throughputs(fields, shape)
        if measured and not any(map(any, measured)):
            self.problems.append("tputs: all are 0, so nothing can be served")
        slo, fit = self._slo(fields.get("slos") or {}), self._fit(fields.get("fit"))
        percentile = self._percentile(fields.get("slos"))
        longest = fields.get("max_model_len")
        limit = None if longest is None else self.number("max_model_len", longest)
        classes = self._classes(fields.get("classes"), shape)
        created_s = finite(fields.get("created")) or 0.0
        self.close()
        throughput, repaired = _monotone(measured, outputs, inputs)
        others = tuple((slo, _monotone(grid, outputs, inputs)[0]) for slo, grid in classes)
        return Profile(
            str(gpu), cost, outputs, inputs, throughput, slo, fit, limit, repaired, percentile, others, created_s
        )

    def _classes(self, classes: Any, shape: tuple[int, int]) -> list[tuple[Slo, Grid]]:
        """Return the throughputs of further SLOs, each an object with `slos` and `tputs`."""
        if not isinstance(classes or [], list) or not all(isinstance(each, dict) for each in classes or []):
            self.problems.append("classes must be a list of objects")
            return []
        return [(self._slo(each.get("slos") or {}), self._throughputs(each, shape)) for each in classes or []]

    def _ticks(self, indexes: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if not isinstance(indexes, list) or len(indexes) != len(("output", "input")):
            self.problems.append("indexes must be two lists: output tokens and input tokens")
            return (), ()
        axes = []
        for axis, ticks in enumerate(indexes):
            key = f"indexes[{axis}]"
            numbers = [
                self.number(f"{key}[{n}]", each) for n, each in enumerate(ticks if isinstance(ticks, list) else [])
            ]
            if not numbers or any(low >= high for low, high in pairwise([0.0, *numbers])):
                self.problems.append(f"{key} must be ascending numbers of tokens, each above 0")
            axes.append(tuple(numbers))
        return axes[0], axes[1]

    def _percentile(self, slos: Any) -> float:
        value = slos.get("percentile") if isinstance(slos, dict) else None
        return 0.0 if value is None else self.number("slos.percentile", value)

    def _throughputs(self, fields: Mapping[str, Any], shape: tuple[int, int]) -> Grid:
        """Return the lower confidence bounds where the profile has them, else the means."""
        rows, columns = shape
        key = "tput_lo" if "tput_lo" in fields else "tputs"
        grid = fields.get(key)
        if (
            not isinstance(grid, list)
            or [len(row) if isinstance(row, list) else -1 for row in grid] != [columns] * rows
        ):
            self.problems.append(f"{key} must have {rows} rows (output lengths) of {columns} numbers (input lengths)")
            return ()
        values = tuple(
            tuple(self.number(f"{key}[{o}][{i}]", each) for i, each in enumerate(row)) for o, row in enumerate(grid)
        )
        for o, row in enumerate(values):
            for i, value in enumerate(row):
                if value == 0 and any(any(longer[i:]) for longer in values[o:]):
                    self.problems.append(f"{key}[{o}][{i}] = 0, though longer requests are served: measure it again")
        return values

    def _slo(self, slos: Any) -> Slo:
        if not isinstance(slos, dict):
            self.problems.append("slos must be an object")
            return Slo()
        targets = {
            f"{SLO_KEYS[name]}_s": self.number(f"slos.{name}", value)
            for name, value in slos.items()
            if name in SLO_KEYS and value is not None
        }
        return Slo(**targets)

    def _fit(self, fit: Any) -> Fit | None:
        if fit is None:
            return None
        if not isinstance(fit, dict):
            self.problems.append("fit must be an object")
            return None
        alpha, beta, gamma, delta = (self.number(f"fit.{key}", fit.get(key)) * MILLISECONDS for key in FIT_KEYS)
        batch = self.number("fit.max_batch", fit.get("max_batch"))
        if not 1 <= batch <= MOST_BATCH or batch != int(batch) or not gamma + delta:
            self.problems.append(
                f"fit needs max_batch, a whole number from 1 to {MOST_BATCH}, and gamma or delta above 0"
            )
            return None
        return Fit(alpha, beta, gamma, delta, int(batch), **self._chunked(fit))

    def _chunked(self, fit: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a fit of the chunked model has in addition."""
        if fit.get("model", QUEUE) not in (QUEUE, CHUNKED):
            self.problems.append(f"fit.model = {shown(fit.get('model'))}, must be {QUEUE} or {CHUNKED}")
        if fit.get("model") != CHUNKED:
            return {}
        tokens = fit.get("kv_tokens")
        return {
            "epsilon_s": self.number("fit.epsilon", fit.get("epsilon", 0)) * MILLISECONDS,
            "kv_tokens": None if tokens is None else self.number("fit.kv_tokens", tokens, above=0),
            "is_chunked": True,
        }


def _monotone(grid: Grid, outputs: Sequence[float], inputs: Sequence[float]) -> tuple[Grid, tuple[str, ...]]:
    """Return the grid with each cell at most its shorter neighbours, and a line for each that was lowered."""
    rows: list[list[float]] = []
    repaired = []
    for o, row in enumerate(grid):
        rows.append([])
        for i, value in enumerate(row):
            shorter = [*(rows[o - 1][i : i + 1] if o else []), *(rows[o][i - 1 : i] if i else [])]
            lowest = min([value, *shorter])
            rows[o].append(lowest)
            if lowest < value:
                repaired.append(
                    f"{outputs[o]:g} output, {inputs[i]:g} input tokens: {value:g} req/s counts as {lowest:g}"
                )
    return tuple(map(tuple, rows)), tuple(repaired)
