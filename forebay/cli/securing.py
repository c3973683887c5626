"""The command `make-secret`: passwords that nobody had to choose, in a Secret of a Kubernetes cluster."""
# ruff: noqa: PLC0415 - the command imports what it runs only then, so that `forebay --help` stays fast

import asyncio
import secrets
from collections.abc import Sequence
from pathlib import Path

import click

from forebay.cli.options import FILE_PATH

SECRET_BYTES = 32
"""Random bytes of a value: 256 bits, which cannot be guessed."""


@click.command()
@click.argument("name")
@click.argument("keys", nargs=-1, required=True)
@click.option("--kubeconfig", type=FILE_PATH, help="The kubeconfig to use.  Default: the service account of the pod.")
def make_secret(name: str, keys: Sequence[str], kubeconfig: Path | None) -> None:
    """Make the Secret NAME with a random value for each of KEYS, unless there is one of that name already."""
    from forebay.local.extras import require

    require("forebay make-secret", "kubernetes", "lightkube")
    click.echo(asyncio.run(_make(name, keys, kubeconfig)))


async def _make(name: str, keys: Sequence[str], kubeconfig: Path | None) -> str:
    """Return the outcome in a line.  Raises ClickException where the API server cannot be asked or refuses."""
    from kube.client import Client, connection
    from kube.errors import AlreadyExists, ApiError, NoWayError
    from kube.objects import Kind, Object, body

    kind = Kind("", "v1", "Secret", "secrets", Object)
    try:
        config = connection(kubeconfig)
        namespace = config.namespace or "default"
        values = {key: secrets.token_urlsafe(SECRET_BYTES) for key in keys}
        async with Client(config, "forebay-make-secret") as client:
            await client.create(kind, body(kind, name, namespace, stringData=values))
    except AlreadyExists:
        return f"{namespace}/{name} exists and stays as it is"
    except (ApiError, NoWayError) as error:
        raise click.ClickException(f"{name} was not made: {error}") from error
    return f"{namespace}/{name} made with {', '.join(keys)}"
