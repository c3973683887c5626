"""`forebay calibrate`: measures a live engine, fits a GPU profile to it and writes the profile's file.

Lives here: the sequence of steps and what is printed.  Not here: measuring (benchmark), fitting (fit), the file
(gpu_file).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx

from simulator.calibration.benchmark import Benchmark, cache_size
from simulator.calibration.fit import Decode, Fit, Prefill, fit, named, seconds_of
from simulator.calibration.gpu_file import gpu_text
from simulator.calibration.streams import NotMeasuredError, client_of
from simulator.core.gpus import GpuProfile


@dataclass(frozen=True, slots=True)
class Request:
    """The options of the command line."""

    base_url: str
    model: str
    api_key: str
    prompt_tokens: Sequence[int]
    concurrency: Sequence[int]
    pass_tokens: int
    max_running: int
    kv_blocks: int | None
    output: Path


def run(request: Request, say: Callable[[str], None]) -> None:
    """Measure, fit and write the profile; `say` prints a line.

    Raises ValueError for an option that is wrong, OSError when the engine does not answer or the file is not writable.
    """
    try:
        profile, comment = asyncio.run(calibrated(request, say))
    except (NotMeasuredError, httpx.HTTPError) as error:
        raise OSError(f"{request.base_url}: {error or type(error).__name__}") from error
    request.output.write_text(gpu_text(profile, comment))
    say(f"{comment}\n{request.output}: forebay engine --gpu {request.output}, forebay simulate --gpu {request.output}")


async def calibrated(request: Request, say: Callable[[str], None]) -> tuple[GpuProfile, str]:
    """Return the profile and the comment for its file."""
    async with client_of(request.base_url, request.api_key) as client:
        size = await cache_size(client)
        blocks, block_tokens = size or (0, 16)
        if not (request.kv_blocks or blocks):
            raise ValueError("kv_blocks is unknown: the engine's /metrics do not say it; name it with --kv-blocks")
        benchmark = Benchmark(client, request.model, request.pass_tokens)
        await benchmark.warm_up()
        prefills, decodes = await _measured(benchmark, request, say)
    found = fit(prefills, decodes, request.pass_tokens)
    profile = GpuProfile(
        found.speed, request.kv_blocks or blocks, block_tokens, request.pass_tokens, request.max_running
    )
    for line in _compared(prefills, decodes, found):
        say(line)
    worst, usual = max(map(abs, found.errors)), median(map(abs, found.errors))
    return profile, (
        f"Fitted by forebay calibrate to {request.model}: {named(found.speed)}\n"
        f"{len(found.errors)} measurements, error {usual:.1%} (median), {worst:.1%} (largest); "
        f"overhead {found.overhead_s * 1000:.1f} ms per request, not part of the profile"
    )


async def _measured(
    benchmark: Benchmark, request: Request, say: Callable[[str], None]
) -> tuple[list[Prefill], list[Decode]]:
    prefills = [await benchmark.prefill(tokens) for tokens in request.prompt_tokens]
    decodes = []
    for sequences in request.concurrency:
        for tokens in sorted({min(request.prompt_tokens), max(request.prompt_tokens)}):
            decode = await benchmark.decode(sequences, tokens)
            if decode is None:
                say(
                    f"{sequences} responses to prompts of {tokens} tokens did not decode at the same time: not measured"
                )
            else:
                decodes.append(decode)
    return prefills, decodes


def _compared(prefills: Sequence[Prefill], decodes: Sequence[Decode], found: Fit) -> list[str]:
    """Return a line per measurement: what it is, its time, the error of the fit."""
    what = [f"TTFT, prompt of {prefill.prompt_tokens} tokens" for prefill in prefills]
    what += [f"ITL, {decode.sequences} at once of {decode.length:.0f} tokens" for decode in decodes]
    measured = seconds_of(prefills, decodes)
    return [
        f"{name:<40} {seconds * 1000:9.2f} ms   fit {error:+.1%}"
        for name, seconds, error in zip(what, measured, found.errors, strict=True)
    ]
