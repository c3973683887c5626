"""Optional dependencies: the error of a command that needs one which is not installed, or a cluster that it is for.

Lives here: the checks.  Not here: which packages an extra brings (pyproject.toml).
"""

from importlib.util import find_spec
from pathlib import Path

import click

from gateway.config.kubernetes import KubernetesSettings


class MissingExtraError(click.ClickException):
    """A command needs packages of an extra that is not installed; click shows the message as one line."""

    def __init__(self, command: str, extra: str) -> None:
        super().__init__(f"{command} needs the extra {extra}: pip install 'forebay[{extra}]'")


def require(command: str, extra: str, *modules: str) -> None:
    """Check that top-level modules of an extra are installed, without importing them.

    Raises MissingExtraError when one is missing.
    """
    if any(find_spec(module) is None for module in modules):
        raise MissingExtraError(command, extra)


def require_cluster(settings: KubernetesSettings) -> None:
    """Check, where the pods of a cluster are the engines, that there is a way to its API server.

    Raises MissingExtraError, and NoWayError where no way can be read: here in a line, and not by each worker.
    """
    if settings.enabled:
        require("kubernetes.enabled", "kubernetes", "lightkube")
        from kube.client import connection  # noqa: PLC0415 - its packages are an extra

        connection(Path(settings.kubeconfig) if settings.kubeconfig else None)
