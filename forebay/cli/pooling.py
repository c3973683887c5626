"""The command group `pools`: `pools render` prints the objects of a model server on hybrid pools.

Lives here: options, which are Arena's (`arena serve kserve`).  Not here: the objects (forebay.rendering).
"""
# ruff: noqa: PLC0415 - the command imports what it runs only then, so that `forebay --help` stays fast

import re
import shlex
from collections.abc import Callable
from typing import Any

import click

from forebay.rendering.asked import read_data, read_place

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,50}[a-z0-9])?")
"""Names that objects may have, with room for what is put after them."""
_DEFAULT_POOLS = ("ecs:forebay.io/pool=own", "elastic:forebay.io/pool=cloud")


def _checked(read: Callable[[str], object]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return a callback that refuses what cannot be read; an empty text is as the option's absence."""

    def check(_context: click.Context, _parameter: click.Parameter, value: str | tuple[str, ...]) -> object:
        try:
            return tuple(map(read, value)) if isinstance(value, tuple) else value and (read(value), value)[1]
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return check


def _read_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        message = "must begin with a letter and hold small letters, digits and -, 52 at most"
        raise ValueError(message)
    return text


@click.group()
def pools() -> None:
    """Hybrid pools: one's own GPUs first, the cloud for what does not fit."""


@pools.command()
@click.option("--engine", type=click.Choice(["kserve", "deployment"]), required=True, help="What runs the pods.")
@click.option("--name", required=True, callback=_checked(_read_name), help="The name of the server.")
@click.option("--image", required=True, help="The image of the engine.")
@click.option("--namespace", default="default", show_default=True)
@click.option("--domain", default="example.com", show_default=True, help="KServe's domain, for the host name.")
@click.option("--scale-metric", default="", help="The metric to scale by, as DCGM_CUSTOM_PROCESS_SM_UTIL or cpu.")
@click.option("--scale-target", type=click.IntRange(min=1), default=50, show_default=True, help="Its mean per pod.")
@click.option("--min-replicas", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--max-replicas", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--gpus", type=click.IntRange(min=0), default=0, show_default=True, help="GPUs of a pod.")
@click.option("--cpu", default="", help="CPUs of a pod.")
@click.option("--memory", default="", help="Memory of a pod, as 12Gi.")
@click.option(
    "--data", default="", callback=_checked(read_data), metavar="CLAIM:/PATH",
    help="The volume with the model, and where it is mounted.",
)  # fmt: skip
@click.option(
    "--pool", "places", multiple=True, default=_DEFAULT_POOLS, show_default=True, metavar="RESOURCE:LABEL=VALUE",
    callback=_checked(read_place),
    help="The nodes of a pool, the preferred first; repeatable.",
)  # fmt: skip
@click.option(
    "--scheduler", "schedulers", multiple=True, default=("ack",), show_default=True,
    type=click.Choice(["ack", "cluster-autoscaler", "karpenter", "kueue"]),
    help="What is told of the order of the pools, beside the pods themselves; repeatable.",
)  # fmt: skip
@click.argument("command", callback=_checked(shlex.split))
def render(*, schedulers: tuple[str, ...], scale_target: int, **given: Any) -> None:
    """Print the objects of a model server, as YAML: the server, its autoscaler, the order of its pools, its routes.

    The options are Arena's, and COMMAND starts the engine: its `--served-model-name` and `--port` say the rest.
    """
    import yaml

    from forebay.rendering.asked import Asked
    from forebay.rendering.placement import SCHEDULERS
    from forebay.rendering.routes import routes
    from forebay.rendering.workload import scales_itself, workload

    if given["min_replicas"] > given["max_replicas"]:
        raise click.UsageError(f"--min-replicas = {given['min_replicas']}, must not be above --max-replicas")
    asked = Asked(**given, scale_target=str(scale_target), is_queued="kueue" in schedulers)
    if not (asked.min_replicas or scales_itself(asked)):
        raise click.UsageError("--min-replicas = 0, must be 1 or more: a HorizontalPodAutoscaler never leaves 0")
    ordered = [one for scheduler in schedulers for one in SCHEDULERS[scheduler](asked)]
    click.echo(yaml.safe_dump_all([*workload(asked), *ordered, *routes(asked)], sort_keys=False), nl=False)
