"""Parses an engine's metrics page (Prometheus text format) into readings.

Lives here: which metric family means what (docs/contracts.md section 5), and finding its series.  Not here: asking for
the page (scraping).

Only the families that are used are searched for.  A search runs at memory speed, so a page costs by its used lines and
not by its length.  An engine with several schedulers (data parallel) has one series for each: counts are added up,
ratios are averaged.
"""

from collections.abc import Iterator, Mapping
from heapq import nlargest
from math import inf
from operator import itemgetter
from typing import NamedTuple

from gateway.discovery.probing.readings import Readings
from routing.pods.adapters import AdapterUse
from routing.pods.engine_totals import EngineTotals, FinishedTotals
from routing.types import Signal


class Families(NamedTuple):
    """The names of one engine's metric families; where there are several, the first one on the page counts."""

    running: tuple[bytes, ...] = ()
    waiting: tuple[bytes, ...] = ()
    kv_usage: tuple[bytes, ...] = ()
    itl: tuple[bytes, ...] = ()  # a histogram, of which sum and count are read
    ttft: tuple[bytes, ...] = ()  # the same
    prompt_tokens: tuple[bytes, ...] = ()
    cached_tokens: tuple[bytes, ...] = ()
    output_tokens: tuple[bytes, ...] = ()
    finished: tuple[bytes, ...] = ()  # requests, aborted ones left out
    finished_prompts: tuple[bytes, ...] = ()  # a histogram of the prompt tokens of finished requests
    finished_outputs: tuple[bytes, ...] = ()  # the same of their output tokens
    counts_when_finished: bool = False  # the counters of tokens grow when a request finishes
    cache_tokens: tuple[bytes, ...] = ()
    cache_config: bytes = b""
    adapters: bytes = b""


ENGINES: Mapping[str, Families] = {
    "vllm": Families(
        running=(b"vllm:num_requests_running",),
        waiting=(b"vllm:num_requests_waiting",),
        kv_usage=(b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc"),
        itl=(b"vllm:inter_token_latency_seconds", b"vllm:time_per_output_token_seconds"),
        ttft=(b"vllm:time_to_first_token_seconds",),
        prompt_tokens=(b"vllm:prompt_tokens_total",),
        cached_tokens=(b"vllm:prompt_tokens_cached_total", b"vllm:prefix_cache_hits_total"),
        output_tokens=(b"vllm:generation_tokens_total",),
        finished=(b"vllm:request_success_total",),
        finished_prompts=(b"vllm:request_prompt_tokens",),
        finished_outputs=(b"vllm:request_generation_tokens",),
        cache_config=b"vllm:cache_config_info",
        adapters=b"vllm:lora_requests_info",
    ),
    "sglang": Families(
        running=(b"sglang:num_running_reqs",),
        waiting=(b"sglang:num_queue_reqs",),
        kv_usage=(b"sglang:token_usage",),
        itl=(b"sglang:inter_token_latency_seconds", b"sglang:time_per_output_token_seconds"),
        ttft=(b"sglang:time_to_first_token_seconds",),
        prompt_tokens=(b"sglang:prompt_tokens_total",),
        cached_tokens=(b"sglang:cached_tokens_total",),
        output_tokens=(b"sglang:generation_tokens_total",),
        finished=(b"sglang:num_requests_total",),
        counts_when_finished=True,
        cache_tokens=(b"sglang:max_total_num_tokens",),
    ),
    "trtllm": Families(
        kv_usage=(b"trtllm_kv_cache_utilization",),
        itl=(b"trtllm_time_per_output_token_seconds",),
        ttft=(b"trtllm_time_to_first_token_seconds",),
    ),
}

_STARTED = b"process_start_time_seconds"

MAX_ADAPTER_STATES = 64
"""The latest states of adapters that are read (chosen: more than an engine has slots)."""


def parse(page: bytes, engine: str) -> Readings:
    """Return the readings on the page; for an unknown engine they are empty."""
    families = ENGINES.get(engine)
    if families is None:
        return Readings()
    page = b"\n" + page
    prompt_tokens = _sum(_first(page, families.prompt_tokens))
    found = {
        Signal.RUNNING: _sum(_first(page, families.running)),
        Signal.WAITING: _sum(_first(page, families.waiting)),
        Signal.KV_USAGE: _mean(_first(page, families.kv_usage)),
    }
    return Readings(
        signals={signal: value for signal, value in found.items() if value is not None},
        cache_tokens=_cache_tokens(page, families),
        started_s=_mean(_first(page, (_STARTED,))),
        totals=EngineTotals(
            *_histogram(page, families.itl),
            *_histogram(page, families.ttft),
            prompt_tokens,
            _sum(_first(page, families.cached_tokens)),
        ),
        adapters=_adapters(page, families.adapters),
        finished=_finished(page, families, prompt_tokens, found),
    )


def _series(page: bytes, family: bytes) -> Iterator[tuple[bytes, float]]:
    """Yield labels and value of each series of a family whose value is a number >= 0.

    A family ends where the comment of the next one begins.
    """
    at = page.find(b"\n" + family)
    last = page.find(b"\n#", at)
    while family and at >= 0:
        start = at + 1 + len(family)
        end = page.find(b"\n", start)
        line = page[start : end if end >= 0 else len(page)]
        if line[:1] in (b"{", b" "):  # else the line is of another family, whose name begins with this one's
            labels, _, rest = line.rpartition(b"}") if line[:1] == b"{" else (b"", b"", line)
            value = _number(rest.split(maxsplit=1)[:1])
            if value is not None:
                yield labels[1:], value
        at = page.find(b"\n" + family, start, last if last >= 0 else len(page))


def _number(words: list[bytes]) -> float | None:
    try:
        value = float(words[0])
    except (IndexError, ValueError):
        return None
    return value if 0 <= value < inf else None


def _first(page: bytes, families: tuple[bytes, ...]) -> list[float]:
    """Return the values of the first family that has any."""
    for family in families:
        if values := [value for _, value in _series(page, family)]:
            return values
    return []


def _histogram(page: bytes, families: tuple[bytes, ...]) -> tuple[float | None, float | None]:
    """Return the sum and the count of the observations in a histogram."""
    total, count = (_first(page, tuple(family + part for family in families)) for part in (b"_sum", b"_count"))
    return _sum(total), _sum(count)


def _finished(
    page: bytes, families: Families, prompt_tokens: float | None, load: Mapping[Signal, float | None]
) -> FinishedTotals | None:
    """Return the totals of finished requests: by their histograms, else by counters, which count others too."""
    prompts, requests = _histogram(page, families.finished_prompts)
    outputs, _ = _histogram(page, families.finished_outputs)
    if requests is not None and prompts is not None and outputs is not None:
        return FinishedTotals(requests, prompts, outputs, is_whole=True)
    requests, outputs = _sum(_first(page, families.finished)), _sum(_first(page, families.output_tokens))
    if requests is None or prompt_tokens is None or outputs is None:
        return None
    is_idle = not load[Signal.RUNNING] and not load[Signal.WAITING]
    return FinishedTotals(requests, prompt_tokens, outputs, is_whole=families.counts_when_finished or is_idle)


def _sum(values: list[float]) -> float | None:
    return sum(values) if values else None


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _cache_tokens(page: bytes, families: Families) -> float | None:
    """Return the size of the KV cache in tokens: as reported, or the number of blocks times their size."""
    if reported := _first(page, families.cache_tokens):
        return sum(reported)
    sizes = []
    for labels, _ in _series(page, families.cache_config):
        tokens = _number([_label(labels, b"kv_cache_size_tokens")])
        blocks, size = _number([_label(labels, b"num_gpu_blocks")]), _number([_label(labels, b"block_size")])
        if tokens or (blocks and size):
            sizes.append(tokens or (blocks or 0) * (size or 0))
    return _sum(sizes)


def _adapters(page: bytes, family: bytes) -> AdapterUse:
    """Return the use of LoRA adapters.

    vLLM has one series for each state that there ever was; its value is the time of that state, so the largest is now.
    """
    used_s: dict[str, float] = {}
    states = nlargest(MAX_ADAPTER_STATES, _series(page, family), key=itemgetter(1))
    for labels, time_s in states:
        for name in _adapter_names(labels):
            used_s.setdefault(name, time_s)
    now = states[0][0] if states else b""
    return AdapterUse(frozenset(_adapter_names(now)), used_s, int(_number([_label(now, b"max_lora")]) or 0))


def _adapter_names(labels: bytes) -> list[str]:
    """Return the adapters with running or waiting requests in one state."""
    names = [_label(labels, name) for name in (b"running_lora_adapters", b"waiting_lora_adapters")]
    return [name for name in b",".join(names).decode(errors="replace").split(",") if name]


def _label(labels: bytes, name: bytes) -> bytes:
    """Return a label's value, empty when it is absent.  The labels that are read have no quotes in their values."""
    _, found, rest = (b"," + labels).partition(b"," + name + b'="')
    return rest.partition(b'"')[0] if found else b""
