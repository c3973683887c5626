"""The command that runs the controllers of a Kubernetes cluster."""
# ruff: noqa: PLC0415 - each command imports what it runs only then, so that `forebay --help` stays fast

from pathlib import Path

import click

from forebay.cli.options import FILE_PATH, address_of, redis_options

ALL = "*"


def _controllers_of(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Return the names in a list with commas, each once; `*` stands for all."""
    from forebay.cluster.controllers import CONTROLLERS

    names = dict.fromkeys(filter(None, (name.strip() for name in value.split(","))))
    if unknown := [name for name in names if name not in CONTROLLERS and name != ALL]:
        raise click.BadParameter(f"{', '.join(unknown)}: there are {', '.join(CONTROLLERS)}, and {ALL} for all")
    if not names:
        raise click.BadParameter("names no controller")
    return tuple(CONTROLLERS if ALL in names else names)


def _duration_of(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    from controllers.routes.workloads import is_duration

    if not is_duration(value):
        raise click.BadParameter("must be a duration such as 1h, 90s or 1m30s; 0s is no limit")
    return value


def _optional_address_of(context: click.Context, parameter: click.Parameter, value: str) -> str:
    return address_of(context, parameter, value) if value else ""


@click.command()
@click.option(
    "--controllers", default=ALL, callback=_controllers_of, metavar="NAME[,NAME]", help="The ones to run; * is all."
)
@click.option(
    "--namespace", default="aibrix-system", envvar="POD_NAMESPACE", show_envvar=True,
    help="Namespace of the Gateway, of the routes and of the lease.",
)  # fmt: skip
@click.option("--gateway", default="aibrix-eg", help="Name of the Gateway.")
@click.option(
    "--request-timeout", default="1h", callback=_duration_of,
    help="Time for a request with its answer, of models that ask for no other.",
)  # fmt: skip
@click.option("--kubeconfig", type=FILE_PATH, help="How to reach the cluster; in a pod its service account.")
@redis_options
@click.option("--lease", default="aibrix-controller-manager", help="The Lease by which one process of several leads.")
@click.option(
    "--listen", default="127.0.0.1:8080", callback=address_of, help="Address of /metrics, /healthz and /readyz."
)
@click.option(
    "--metrics-api", default="", callback=_optional_address_of,
    help="Address of external.metrics.k8s.io and custom.metrics.k8s.io, in TLS, for the API server alone.",
)  # fmt: skip
@click.option("--metrics-service", default="aibrix-metrics-api", help="The Service that leads to that address.")
@click.option(
    "--gateways", default="app.kubernetes.io/name=aibrix-gateway-plugins", help="Labels of the gateways' pods."
)
@click.option("--optimizer", default="http://aibrix-gpu-optimizer:8080", help="URL of the optimizer.")
def controllers(
    *, controllers: tuple[str, ...], namespace: str, gateway: str, request_timeout: str, kubeconfig: Path | None,
    redis_url: str, redis_cluster: bool, lease: str, listen: str, metrics_api: str, metrics_service: str,
    gateways: str, optimizer: str,
) -> None:  # fmt: skip
    """Run the controllers of a Kubernetes cluster.

    Several processes may run; one acts, another takes over when it is gone.
    """
    from forebay.local.extras import require

    require("forebay controllers", "kubernetes", "lightkube")
    from forebay.cluster.controllers import Options, run

    run(
        Options(
            controllers, namespace, gateway, kubeconfig, listen, lease, request_timeout, redis_url, redis_cluster,
            metrics_api, metrics_service, gateways, optimizer,
        )
    )  # fmt: skip
