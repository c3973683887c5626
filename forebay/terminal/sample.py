"""One reading of a gateway's pages.

Lives here: which pages and series are read.  Not here: differences of two readings and their look (screen).
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from prometheus_client.parser import text_string_to_metric_families

from forebay.local.asking import OK, NoAnswerError, ask

_REQUESTS, _TOKENS, _REFUSALS = "forebay_requests_total", "forebay_tokens_total", "forebay_refusals_total"


class Sample(NamedTuple):
    """The state of the gateway at one moment; counters grow from its start on, over all workers."""

    taken_s: float
    pods: Sequence[Mapping[str, Any]]
    """The pods as on /debug/fleet."""
    waiting: Mapping[str, int]
    """Requests that wait in the gateway, by model."""
    requests: Mapping[str, float]
    """Requests that ended, by model."""
    tokens: Mapping[tuple[str, str], float]
    """Tokens by model and kind: `input` or `output`."""
    refusals: Mapping[str, float]
    """Refused requests by the limit or the reason."""


async def take_sample(address: str) -> Sample:
    """Read the pages of the gateway at `listen.http`.  Raises NoAnswerError."""
    fleet, waiting, metrics = [await _page(address, path) for path in ("/debug/fleet", "/debug/waiting", "/metrics")]
    try:
        queues = {model: queue["waiting"] for model, queue in orjson.loads(waiting).items()}
        return _read(time.monotonic(), orjson.loads(fleet), queues, metrics.decode())
    except (orjson.JSONDecodeError, AttributeError, TypeError, KeyError, ValueError):
        raise NoAnswerError(f"{address} does not serve a gateway's pages") from None


async def _page(address: str, path: str) -> bytes:
    answer = await ask(address, path)
    if answer.status != OK:
        raise NoAnswerError(f"{address}{path} answers {answer.status}")
    return answer.body


def _read(now_s: float, pods: Sequence[Mapping[str, Any]], waiting: Mapping[str, int], page: str) -> Sample:
    requests: defaultdict[str, float] = defaultdict(float)
    tokens: defaultdict[tuple[str, str], float] = defaultdict(float)
    refusals: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(page):
        for name, labels, value, *_ in family.samples:
            if name == _REQUESTS:
                requests[labels["model"]] += value
            elif name == _TOKENS:
                tokens[labels["model"], labels["kind"]] += value
            elif name == _REFUSALS:
                refusals[labels["kind"]] += value
    return Sample(now_s, pods, waiting, requests, tokens, refusals)
