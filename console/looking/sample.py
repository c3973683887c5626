"""One reading of a gateway's pages.

Lives here: which pages and series are read.  Not here: differences of two readings and their look (screen).
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from console.looking.client import CallError, Client

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


def take_sample(gateway: Client) -> Sample:
    """Read the pages of the gateway whose `listen.http` it is.  Raises CallError."""
    fleet, waiting, metrics = gateway.get("debug", "fleet"), gateway.get("debug", "waiting"), gateway.text("metrics")
    try:
        queues = {model: queue["waiting"] for model, queue in waiting.items()}
        return _read(time.monotonic(), fleet, queues, metrics)
    except (AttributeError, TypeError, KeyError, ValueError):
        raise CallError("these are no pages of a gateway's `listen.http`") from None


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
