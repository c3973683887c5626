"""The commands that run processes: `up`, `gateway`, `engine`."""
# ruff: noqa: PLC0415 - each command imports its part when it runs, so that `forebay --help` stays fast

from pathlib import Path
from typing import Any

import click

from forebay.cli.options import A_FILE


@click.command()
@click.option("--engines", type=click.IntRange(min=0), default=3, help="Simulated engines.")
@click.option("--workers", type=click.IntRange(min=1), default=1, help="Gateway processes.")
@click.option("--gpu", default="", help="GPU profile of the engines, or a file; H100 when empty.")
@click.option("--strategy", default="", help="Default routing strategy.")
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), default=Path(".forebay"), help="Users, logs.")
@click.option("--config", "base", type=A_FILE, help="A configuration to start from; addresses and models are set here.")
def up(*, engines: int, workers: int, gpu: str, strategy: str, data: Path, base: Path | None) -> None:
    """Run everything on this machine until Ctrl-C.

    Redis, Envoy, the gateway and simulated engines.
    """
    from forebay.local.extras import require

    require("forebay up", "up", "envoy")
    from forebay.local.up import run

    run(engines=engines, workers=workers, gpu=gpu, strategy=strategy, data=data, base=base)


@click.command()
@click.option("--config", "file", type=A_FILE, required=True, help="The configuration file.")
@click.option("--workers", type=click.IntRange(min=1), default=1, help="Processes.")
def gateway(file: Path, workers: int) -> None:
    """Run the gateway alone.

    ext_proc and access log (gRPC), HTTP, admin.
    """
    from forebay.local.service import run

    run(file, workers)


@click.command()
@click.option("--model", required=True, help="Model name it serves.")
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--count", type=click.IntRange(min=1), default=1, help="Engines in this process, on ports that follow.")
@click.option("--name", default="", help="The engine's own name; the model's when empty.")
@click.option("--gpu", default="", help="GPU profile, or a file that calibrate wrote; H100 when empty.")
@click.option("--tokens-per-s", type=click.FloatRange(min=0, min_open=True), help="Of one answer, whatever the load.")
@click.option("--max-running", type=click.IntRange(min=1), help="Requests served at once; more wait.")
@click.option("--max-waiting", type=click.IntRange(min=0), help="Requests that may wait; more are refused with 503.")
@click.option("--max-model-len", type=click.IntRange(min=1), help="Tokens of prompt and answer.")
@click.option("--adapter", "adapters", multiple=True, help="LoRA adapter that is loaded; repeatable.")
@click.option("--metrics", type=click.Choice(["vllm", "sglang"]), default="vllm", help="Whose names /metrics has.")
@click.option("--kv-events", default="", help="ZMQ endpoint to publish KV-cache events at: tcp://127.0.0.1:5557.")
@click.option("--seed", type=int, default=0, help="The same seed gives the same answers.")
def engine(*, model: str, host: str, port: int, **options: Any) -> None:
    """Run simulated engines."""
    from forebay.local.extras import require

    if options["kv_events"]:
        require("forebay engine --kv-events", "simulate", "zmq", "msgpack")
    from simulator.serving.server import serve

    try:
        serve(model, host, port, **options)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
