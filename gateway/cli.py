"""The command `forebay`.

Lives here: options and how errors are shown.  Not here: what the commands do; each imports its part when it runs, so
that `forebay --help` stays fast.
"""
# ruff: noqa: PLC0415 - each command imports its part when it runs

import os
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gateway.config.settings import Settings

USAGE_ERROR = 2
"""Exit status of a command that cannot start because of what it was told; click's own."""

A_FILE = click.Path(path_type=Path, dir_okay=False)


class _Commands(click.Group):
    """A group whose commands may fail on their configuration."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; show a ConfigurationError as lines instead of a traceback."""
        from gateway.config.loading import ConfigurationError

        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            for problem in error.problems:
                click.echo(f"forebay: {problem}", err=True)
            raise click.exceptions.Exit(USAGE_ERROR) from error


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    try:
        click.echo(f"forebay {metadata.version('forebay')}")
    except metadata.PackageNotFoundError:
        click.echo("forebay (run from its source, not installed)")
    ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def main() -> None:
    """Forebay, an LLM inference gateway for Envoy."""


@main.command()
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
    from gateway.local.up import run

    run(engines=engines, workers=workers, gpu=gpu, strategy=strategy, data=data, base=base)


@main.command()
@click.option("--config", "file", type=A_FILE, required=True, help="The configuration file.")
@click.option("--workers", type=click.IntRange(min=1), default=1, help="Processes.")
def gateway(file: Path, workers: int) -> None:
    """Run the gateway alone.

    ext_proc and access log (gRPC), HTTP, admin.
    """
    from gateway.local.service import run

    run(file, workers)


@main.command()
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
    from simulator.serving.server import serve

    try:
        serve(model, host, port, **options)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--trace", type=A_FILE, required=True, help="Mooncake or our JSON lines, Azure, ServeGen or VTC CSV.")
@click.option("--pods", type=click.IntRange(min=1), default=8, help="Engines.")
@click.option("--gpu", default="published-fit", help="GPU profile of the engines, or a file.")
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    default=("forebay",),
    help="To compare: A,B,C, round-robin too; repeatable, and one with a colon is one name: a:2,b.",
)
@click.option("--speedup", default="1", help="How many times as fast as the trace: 1,4.")
@click.option("--users", default="", help="Limits: NAME[:rpm=N][:tpm=N],...; the name * is everybody else.")
@click.option("--fault", "faults", multiple=True, help="stall|crash:POD:AT_SECONDS:FOR_SECONDS; repeatable.")
@click.option("--slo-ttft", type=click.FloatRange(min=0), default=2.0, help="Seconds to a good request's first token.")
@click.option("--slo-itl", type=click.FloatRange(min=0), default=0.05, help="Seconds a token after that.")
@click.option("--keep-slo", is_flag=True, help="All strategies keep it by waiting and refusing, not only forebay.")
@click.option("--scrape-interval", "scrape_s", type=click.FloatRange(min=0), default=2.0, help="Seconds; 0: never.")
@click.option("--all-seeing", is_flag=True, help="Replay again with fresh engine metrics for every decision.")
@click.option("--seed", type=int, default=0, help="The same seed gives the same result.")
@click.option("--assignments", type=A_FILE, help="Write where each request went, as JSON lines.")
@click.option("--report", type=click.Path(path_type=Path, file_okay=False), help="Write a page with plots there.")
def simulate(
    *, trace: Path, pods: int, gpu: str, strategies: tuple[str, ...], speedup: str, users: str, faults: tuple[str, ...],
    slo_ttft: float, slo_itl: float, keep_slo: bool, scrape_s: float, all_seeing: bool, seed: int,
    assignments: Path | None, report: Path | None,
) -> None:  # fmt: skip
    """Replay a trace on engine models, in virtual time."""
    from gateway.simulate import Plan, run
    from simulator.replay.outages import parse_outage
    from simulator.replay.summary import Slo

    try:
        names = [name for given in strategies for name in ([given] if ":" in given else given.split(","))]
        plan = Plan(
            trace, pods, gpu, names, [float(factor) for factor in speedup.split(",")],
            users=users, seed=seed, slo=Slo(slo_ttft, slo_itl), assignments=assignments, report=report,
            outages=[parse_outage(fault) for fault in faults], keep_slo=keep_slo, scrape_s=scrape_s,
            all_seeing=all_seeing,
        )  # fmt: skip
        run(plan)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("request_file", metavar="REQUEST.json", type=A_FILE)
@click.option("--fleet", type=A_FILE, required=True, help="Pods as /debug/fleet shows them.")
@click.option("--strategy", default="forebay", help="Strategy or mixture to ask.")
def explain(*, request_file: Path, fleet: Path, strategy: str) -> None:
    """Show what a strategy thinks of each pod for a request.

    REQUEST.json is an entry of /debug/decisions, or has model, prompt_tokens and held (pod: tokens).
    """
    from gateway.fleet.replay import explain as explained

    try:
        click.echo(explained(request_file, fleet, strategy))
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--base-url", required=True, help="Of an OpenAI endpoint that streams completions with usage.")
@click.option("--model", required=True, help="Model to ask for.")
@click.option("--output", type=A_FILE, required=True, help="Where to write the profile.")
@click.option("--prompt-tokens", default="64,512,1024,2048,4096", help="Prompt lengths to measure, about.")
@click.option("--concurrency", default="1,4,16", help="Answers at once to measure.")
@click.option("--pass-tokens", type=click.IntRange(min=1), default=2048, help="Its --max-num-batched-tokens.")
@click.option("--max-running", type=click.IntRange(min=1), default=256, help="Its --max-num-seqs.")
@click.option("--kv-blocks", type=click.IntRange(min=1), help="Its KV blocks, when its /metrics do not say.")
@click.option("--api-key", default="", envvar="OPENAI_API_KEY", help="Sent as bearer token.")
def calibrate(*, prompt_tokens: str, concurrency: str, **options: Any) -> None:
    """Fit a GPU profile to a live engine.

    The engine should have nothing else to do; it takes a minute or two.
    """
    from simulator.calibration.calibrate import Request, run

    try:
        lengths, counts = ([int(number) for number in text.split(",")] for text in (prompt_tokens, concurrency))
        run(Request(prompt_tokens=lengths, concurrency=counts, **options), click.echo)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--config", "file", type=A_FILE, required=True, help="The configuration file.")
def envoy_config(file: Path) -> None:
    """Print the Envoy configuration for a file."""
    import yaml

    from gateway.envoy.config import render

    click.echo(yaml.safe_dump(render(_loaded(file)), sort_keys=False), nl=False)


@main.command()
@click.argument("file", type=A_FILE)
def check_config(file: Path) -> None:
    """Say all that is wrong with a file, or ok."""
    from gateway.config.loading import ConfigurationError

    try:
        settings = _loaded(file)
    except ConfigurationError as error:
        for problem in error.problems:
            click.echo(f"{file}: {problem}")
        raise click.exceptions.Exit(1) from error
    click.echo(f"{file}: ok\n{_summary(settings)}")


@main.command()
def config_docs() -> None:
    """Print every configuration key, as Markdown."""
    from gateway.config.page import configuration_page

    click.echo(configuration_page(), nl=False)


def _loaded(file: Path) -> "Settings":
    """The settings with their models.  Raises ConfigurationError."""
    from gateway.config.loading import load, with_models
    from routing.table import STRATEGIES

    return with_models(load(file, os.environ, STRATEGIES), os.environ, STRATEGIES)


def _summary(settings: "Settings") -> str:
    """What a configuration describes, one subject per line."""
    from gateway.config.addresses import without_credentials

    listen = settings.listen
    models = [f"{model.name} ({len(model.endpoints)} endpoints)" for model in settings.models]
    return "\n".join(
        [
            f"  models: {', '.join(models) or 'none'}",
            f"  strategy: {settings.routing.strategy}",
            f"  redis: {without_credentials(settings.redis.url)}, when away: {settings.redis.when_away}",
            f"  listen: grpc {listen.grpc} ({settings.transport}), http {listen.http}, admin {listen.admin}",
            f"  response mode: {settings.response_mode}",
        ]
    )
