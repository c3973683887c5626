"""A profile from what gateways learned of running pods, so that nobody must benchmark to begin.

A gateway learns seconds per request, per prompt token and per output token from whole requests, at the load that its
pods have.  More requests at once than were seen are not assumed, because nothing says how they would slow each other.

Lives here: the page `/debug/fleet` to a fit, a fit to points.  Not here: fetching the page (forebay.profiling), the
model (profiles.capacity).
"""

from collections.abc import Sequence
from statistics import median
from typing import Any

from optimizer.input.reading import InputError, Reader
from optimizer.profiles.capacity import Fit, Slo, capacity, latencies
from optimizer.profiling.points import Cell, Load, Measured, Point
from optimizer.profiling.targets import Targets

ALONE = 1e-3
"""The part of an engine's time that one request after the other takes where it is as good as alone."""
SHARES = (0.5, 0.999)
"""Parts of the highest rates that are looked at; at them exactly a target is not kept, as it must be below."""


def fit_of(pages: Sequence[bytes], deployment: str) -> Fit:
    """Return the fit of a deployment's pods from readings of `/debug/fleet`, one after the other.

    Raises InputError when the page is another, or no pod of the deployment is known yet.
    """
    reader = _Fleet()
    readings = [reader.pods(page) for page in pages]
    reader.close()
    found = [pod for pods in readings for pod in pods if _is_of(str(pod["pod"]), deployment)]
    known = [pod for pod in found if pod["speed"].get("known")]
    if not known:
        names = ", ".join(sorted({str(pod["pod"]) for pod in readings[-1]})) or "none"
        problem = "speeds are not known yet: they are after 8 requests" if found else f"has no pods; there are: {names}"
        raise InputError([f"{deployment}: {problem}"])
    fixed_s, token_s, output_s = (
        median(reader.number(name, pod["speed"].get(name)) for pod in known)
        for name in ("fixed_s", "token_s", "output_s")
    )
    reader.close()
    most = max(max(pod.get("in_flight") or 0, (pod.get("signals") or {}).get("running") or 0) for pod in known)
    tokens = [(pod.get("signals") or {}).get("cache_tokens") for pod in known]
    kv_tokens = min((each for each in tokens if each), default=None)
    return Fit(output_s, 0.0, fixed_s, token_s, max(1, round(most)), None, 0.0, kv_tokens, is_chunked=True)


class _Fleet(Reader):
    def pods(self, page: bytes) -> list[dict[str, Any]]:
        """Return the pods of a page."""
        pods = self.load(page)
        if isinstance(pods, list) and all(isinstance(pod, dict) and isinstance(pod.get("speed"), dict) for pod in pods):
            return [pod for pod in pods if "pod" in pod]
        self.problems.append("the page is not that of a gateway's /debug/fleet")
        return []


def _is_of(pod: str, deployment: str) -> bool:
    """Whether a pod is one of a deployment's by its name: `namespace/deployment-...` or `deployment-...`."""
    name = pod.rpartition("/")[2]
    return name == deployment or name.startswith(f"{deployment}-")


def predicted(fit: Fit, lengths: Sequence[Cell], slos: Sequence[Targets]) -> Measured:
    """Return the points that a fit predicts: alone, at half of what each SLO allows, and at it; means only."""
    points = []
    for out, into in lengths:
        knees = {capacity(fit, into, out, _slo(each)) for each in slos} | {capacity(fit, into, out, Slo())}
        alone = ALONE / latencies(fit, into, out, ALONE).e2e_s(out)
        rates = {alone, *(share * knee for knee in knees if knee for share in SHARES)}
        points += [_point(fit, Load(into, out, rate)) for rate in sorted(rates)]
    about = {"max_running": fit.max_batch} | ({} if fit.kv_tokens is None else {"kv_tokens": fit.kv_tokens})
    return Measured(tuple(points), about)


def _slo(targets: Targets) -> Slo:
    times = [each for each in (targets.itl, targets.tpot) if each is not None]
    return Slo(targets.ttft, min(times, default=None), targets.e2e)


def _point(fit: Fit, load: Load) -> Point:
    found = latencies(fit, load.input_tokens, load.output_tokens, load.rate)
    means = {
        "TPUT": load.rate, "TT": load.rate * load.output_tokens, "E2E": found.e2e_s(load.output_tokens),
        "TTFT": found.ttft_s, "TPOT": found.itl_s,
    }  # fmt: skip
    return Point(load, {name: {"mean": mean} for name, mean in means.items()})
