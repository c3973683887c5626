"""The commands that run processes: `up`, `gateway`, `engine`."""
# ruff: noqa: PLC0415 - each command imports what it runs only then, so that `forebay --help` stays fast

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forebay.cli.mixing import DEFAULT_MIX, DEFAULT_SLO, SYNTAX, mix_of
from forebay.cli.options import ENGINE_URLS, FILE_PATH, FiniteRange, gpu_of, slo_of

if TYPE_CHECKING:
    from forebay.local.autoscaling.choice import Autoscale
    from forebay.local.engine_url import EngineUrl
    from forebay.local.mix.gpu_types import GpuType
    from optimizer.profiles.capacity import Slo

STRATEGY_SYNTAX = "NAME[:key=value,...]|FILE.yaml"
"""That of forebay.cli.autoscale_option, which takes long to import."""
MOST_ON_A_LAPTOP = 3
"""Simulated engines of a GPU type where its MAX is left out (chosen: six are what two cores simulate)."""
MOST_WORKERS = 128
"""The most gateway processes (chosen: one takes 80 MB, and one per core is enough)."""


@click.command()
@click.option("--engines", type=click.IntRange(min=0), help="Number of simulated engines; 3 where no others are named.")
@ENGINE_URLS
@click.option("--models", type=FILE_PATH, help="A models file with engines of yours; it is watched and never written.")
@click.option("--workers", type=click.IntRange(1, MOST_WORKERS), default=1, help="Number of gateway processes.")
@click.option(
    "--gpu",
    default="",
    callback=gpu_of,
    help="GPU profile of the simulated engines, by name or file; an H100's when empty.",
)
@click.option(
    "--mix",
    is_flag=False,
    flag_value=DEFAULT_MIX,
    callback=mix_of(MOST_ON_A_LAPTOP),
    metavar="[TYPES]",
    help="Simulated engines of several GPU types, as many as the optimizer plans: "
    f"{SYNTAX} ({DEFAULT_MIX} where none are named).",
)
@click.option("--slo", callback=slo_of, default=DEFAULT_SLO, help="The SLO that --mix or strategy SLO plans for.")
@click.option(
    "--autoscale", default="", metavar=STRATEGY_SYNTAX, help="Simulated engines, as many as this strategy decides."
)
@click.option("--min", "least", type=click.IntRange(min=0), default=1, help="With --autoscale: the fewest engines.")
@click.option(
    "--max", "most", type=click.IntRange(min=1), default=MOST_ON_A_LAPTOP, help="With --autoscale: the most engines."
)
@click.option("--startup-s", type=FiniteRange(min=0), default=5.0, help="Seconds until a new engine serves.")
@click.option("--strategy", default="", help="Default routing strategy.")
@click.option(
    "--console/--no-console", default=None, help="Run the web console too; default: where its extra is installed."
)
@click.option(
    "--data", type=click.Path(path_type=Path), default=Path(".forebay"), help="Directory of users, logs, addresses."
)
@click.option("--config", "base", type=FILE_PATH, help="Configuration to start from; `forebay init` writes one.")
def up(
    *, engines: int | None, engine_urls: tuple["EngineUrl", ...], models: Path | None, workers: int, gpu: str,
    mix: "tuple[GpuType, ...] | None", slo: "Slo", autoscale: str, least: int, most: int, startup_s: float,
    strategy: str, console: bool | None, data: Path, base: Path | None,
) -> None:  # fmt: skip
    """Run a whole installation on this machine until Ctrl-C.

    It has Redis, Envoy, the gateway, and simulated engines unless others are named; with --mix also the optimizer.
    With --autoscale engines start and end as a strategy decides, down to none with --min 0.  An address that the
    configuration names is used; where it has the default one, a free port is.
    """
    from forebay.local.engines import Engines
    from forebay.local.extras import require
    from forebay.local.mix.gpu_types import Mix

    named = {
        "--engines": engines, "--engine-url": engine_urls, "--models": models, "--mix": mix, "--autoscale": autoscale,
    }  # fmt: skip
    given = [option for option, value in named.items() if value]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other")
    require("forebay up", "up", "envoy")
    if mix:
        require("forebay up --mix", "optimizer", "highspy")
    from forebay.local.up import run
    from forebay.local.web_console import can_run

    if console:
        require("forebay up --console", "console", "dash")
    has_console = can_run() if console is None else console
    scale = _autoscale(autoscale, slo, least, most, startup_s) if autoscale else None
    chosen = Engines(engines, engine_urls, models, Mix(mix, slo, startup_s) if mix else None, scale)
    run(engines=chosen, workers=workers, gpu=gpu, strategy=strategy, data=data, base=base, has_console=has_console)


def _autoscale(text: str, slo: "Slo", least: int, most: int, startup_s: float) -> "Autoscale":
    """Return how engines are scaled.  Raises BadParameter."""
    from forebay.cli.autoscale_option import Bounds, spec_of
    from forebay.local.autoscaling.choice import Autoscale

    if slo.ttft_s is None or slo.itl_s is None:
        raise click.BadParameter("must have ttft and itl with --autoscale", param_hint="--slo")
    try:
        return Autoscale(spec_of(text, Bounds(least, most, slo.ttft_s, slo.itl_s)), startup_s)
    except (ValueError, OSError) as error:
        raise click.BadParameter(str(error), param_hint="--autoscale") from error


@click.command()
@click.option("--config", "file", type=FILE_PATH, required=True, help="The configuration file.")
@click.option("--workers", type=click.IntRange(1, MOST_WORKERS), default=1, help="Number of processes.")
def gateway(file: Path, workers: int) -> None:
    """Run the gateway for an Envoy of your own.

    It serves ext_proc and the access log (gRPC), HTTP and the admin REST.
    """
    from forebay.local.service import run

    run(file, workers)


@click.command()
@click.option("--model", required=True, help="Name of the model that it serves.")
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="Port to listen on; 0 takes a free one.")
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--count", type=click.IntRange(min=1), default=1, help="Number of engines, on consecutive ports.")
@click.option("--name", default="", help="Name of the engine; the model's when empty.")
@click.option("--gpu", default="", help="GPU profile, by name or a file that calibrate wrote; an H100's when empty.")
@click.option("--tokens-per-s", type=FiniteRange(min=0, min_open=True), help="Speed of an answer, whatever the load.")
@click.option("--max-running", type=click.IntRange(min=1), help="Requests that run at once; more wait.")
@click.option("--max-waiting", type=click.IntRange(min=0), help="Requests that may wait; more are refused with 503.")
@click.option("--max-model-len", type=click.IntRange(min=1), help="Most tokens of prompt and answer together.")
@click.option("--adapter", "adapters", multiple=True, help="LoRA adapter that is loaded at start; repeatable.")
@click.option("--metrics", type=click.Choice(["vllm", "sglang"]), default="vllm", help="Whose metric names to use.")
@click.option("--kv-events", default="", help="ZMQ endpoint for KV-cache events, such as tcp://127.0.0.1:5557.")
@click.option("--seed", type=int, default=0, help="The same seed gives the same answers.")
@click.option("--port-is-held", is_flag=True, hidden=True, help="The process that starts this one holds the port.")
def engine(*, model: str, host: str, port: int, port_is_held: bool, **options: Any) -> None:
    """Run simulated engines."""
    from forebay.local.extras import require
    from forebay.local.ports import Ports
    from gateway.config.addresses import joined_address

    if options["kv_events"]:
        require("forebay engine --kv-events", "simulate", "zmq", "msgpack")
    from simulator.serving.server import serve

    with contextlib.closing(Ports()) as ports:
        for number in range(port, port + options["count"]) if port and not port_is_held else ():
            ports.hold("--port", joined_address(host, number))
        try:
            serve(model, host, port, **options)
        except (ValueError, OSError) as error:
            raise click.ClickException(str(error)) from error
