"""The command `optimizer`.

Lives here: its options.  Not here: the process (forebay.optimizing).
"""
# ruff: noqa: PLC0415 - the command imports what it runs only then, so that `forebay --help` stays fast

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import click

from forebay.cli.options import FILE_PATH, SLO, FiniteRange, address_of, read_file, redis_options, told_problems

if TYPE_CHECKING:
    from optimizer.profiles.capacity import Slo
    from optimizer.service.sources import DeploymentSource

BUNDLED = "bundled"
"""In place of a path: the profiles that come with Forebay."""
SECONDS = FiniteRange(min=0.1, max=86_400)


@click.command()
@click.option(
    "--listen", default="127.0.0.1:8080", callback=address_of, help="Address of the pages; 0.0.0.0:8080 in a cluster."
)
@redis_options
@click.option("--deployments", type=FILE_PATH, help="File of deployments, which is watched; or:")
@click.option("--kubernetes", is_flag=True, help="The deployments of a cluster whose labels name a model.")
@click.option("--kubeconfig", type=FILE_PATH, help="How to reach the cluster; in a pod its service account.")
@click.option("--namespace", default="", help="Look at one namespace of the cluster only.")
@click.option(
    "--profiles", type=click.Path(path_type=Path), multiple=True,
    help=f"A profile, a folder of them, or `{BUNDLED}`: used beside those in Redis; repeatable.",
)  # fmt: skip
@SLO
@click.option("--margin", type=FiniteRange(1, 1e6), default=1.5, help="Plan for delays so many times as profiled.")
@click.option("--supply", type=FILE_PATH, help="GPUs, money and spot instances for all models; docs/optimizer.md.")
@click.option("--decide-every", type=SECONDS, default=30.0, help="Seconds between decisions without an occasion.")
@click.option("--ingest-every", type=SECONDS, default=10.0, help="Seconds between looks at the traffic.")
@click.option("--agreeing-plans", type=click.IntRange(1, 1000), default=3, help="Plans that agree before replicas go.")
@click.option("--idle-after", type=SECONDS, default=300.0, help="Seconds without requests that end in min_replicas.")
@click.option("--stale-after", type=SECONDS, default=60.0, help="Seconds after which the last traces say nothing.")
@click.option(
    "--admin-token", default="", envvar="ADMIN_TOKEN", show_envvar=True, help="Changes need it as bearer token."
)
@click.option("--open", "is_open", is_flag=True, help="Changes need no token, whatever the address.")
@click.option("--debug", is_flag=True, help="Log more.")
@click.option("--port-is-held", is_flag=True, hidden=True, help="The process that starts this one holds the port.")
def optimizer(
    *, listen: str, redis_url: str, redis_cluster: bool, deployments: Path | None, kubernetes: bool,
    kubeconfig: Path | None, namespace: str, profiles: tuple[Path, ...],
    slo: "Slo | None", margin: float, supply: Path | None, decide_every: float, ingest_every: float,
    agreeing_plans: int, idle_after: float, stale_after: float, admin_token: str, is_open: bool, debug: bool,
    port_is_held: bool,
) -> None:  # fmt: skip
    """Run the optimizer: it reads the traffic that gateways count, and says how many replicas there should be.

    GET / of its address lists the pages.  Several may run at a time.
    """
    from forebay.local.extras import require

    require("forebay optimizer", "optimizer", "highspy")
    from forebay.optimizing.process import Options, run
    from gateway.config.loading import ConfigurationError
    from optimizer.planning.decider import Policy
    from optimizer.profiling.bundled import bundled, names
    from optimizer.service.loop import Pace
    from optimizer.service.supply_file import parse_supply
    from optimizer.solver.supply import Supply

    if (deployments is None) is not kubernetes:
        raise click.UsageError("needs --deployments FILE, or --kubernetes")
    source = _file(deployments) if deployments else _cluster(kubeconfig, namespace)
    with told_problems():
        there_is = read_file(supply, parse_supply) if supply else Supply()
    policy = Policy(
        slo, margin, agreeing_plans=agreeing_plans, idle_s=idle_after, stale_s=stale_after, supply=there_is
    )  # fmt: skip
    files = tuple(path for path in profiles if str(path) != BUNDLED)
    if missing := [path for path in files if not path.exists()]:
        raise ConfigurationError(tuple(f"--profiles = {path}, there is no such file" for path in missing))
    comes_with = {name: bundled(name) for name in names()} if len(files) < len(profiles) else {}
    options = Options(
        listen, redis_url, redis_cluster, files, comes_with, policy, Pace(ingest_every, decide_every),
        admin_token, is_open, debug, port_is_held,
    )  # fmt: skip
    run(options, source)


def _file(path: Path) -> "DeploymentSource":
    """Return the file as a source.  Raises ConfigurationError for one that cannot be used now."""
    from gateway.config.loading import ConfigurationError
    from optimizer.input.reading import InputError
    from optimizer.service.sources import DeploymentsFile

    source = DeploymentsFile(path)
    try:
        source.read()
    except InputError as error:
        raise ConfigurationError(error.problems) from error
    return source


def _cluster(kubeconfig: Path | None, namespace: str) -> "DeploymentSource":
    """Return the cluster as a source.  Raises NoWayError where none is known."""
    from forebay.local.extras import require

    require("--kubernetes", "kubernetes", "lightkube")
    from optimizer.service.cluster import ClusterDeployments

    return ClusterDeployments(kubeconfig, namespace, Random())  # noqa: S311 - jitter
