"""The command `console`: the web console of a gateway.

Lives here: its options.  Not here: the process (forebay.displaying).
"""
# ruff: noqa: PLC0415 - the command imports what it runs only then, so that `forebay --help` stays fast

import os
from pathlib import Path

import click

from forebay.cli.administering import DEFAULT_ADMIN
from forebay.cli.options import DIRECTORY_PATH, TOKEN, address_of, address_of_run
from forebay.cli.watching import DEFAULT_HTTP


@click.command()
@click.option("--listen", default="127.0.0.1:8070", callback=address_of, help="Address of the console.")
@click.option(
    "--http", metavar="URL", help=f"`listen.http` of the gateway; default: that of --data, or {DEFAULT_HTTP}."
)
@click.option("--admin", metavar="URL", help=f"`listen.admin`; default: that of --data, or {DEFAULT_ADMIN}.")
@click.option("--gateway", metavar="URL", help="The address that users send requests to; default: that of --data.")
@click.option("--data", type=DIRECTORY_PATH, default=Path(".forebay"), help="Directory of `forebay up`.")
@click.option("--port-is-held", is_flag=True, hidden=True, help="Another process holds the port for this one.")
def console(
    *, listen: str, http: str | None, admin: str | None, gateway: str | None, data: Path, port_is_held: bool
) -> None:
    """Serve the web console: decisions, pods, users, keys, limits.

    It asks for the admin token if the variable ADMIN_TOKEN holds it, which it must on any address but loopback.
    """
    from forebay.local.extras import require

    require("forebay console", "console", "dash", "dash_mantine_components", "websockets")
    from forebay.displaying.process import Options, run
    from gateway.config.addresses import is_loopback, split_address

    token = os.environ.get(TOKEN, "")
    if not (token or is_loopback(split_address(listen)[0])):
        raise click.UsageError(f"--listen = {listen}, needs the admin token in {TOKEN} on an address but loopback")
    options = Options(
        listen,
        http or address_of_run(data, "HTTP", DEFAULT_HTTP),
        admin or address_of_run(data, "ADMIN", DEFAULT_ADMIN),
        gateway or address_of_run(data, "GATEWAY", ""),
        token,
        port_is_held,
    )
    if not port_is_held:
        click.echo(f"console at http://{listen}/console/")
    try:
        run(options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
