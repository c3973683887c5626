"""The command `forebay`: its subcommands, its version, and how errors are shown.

Lives here: the group.  Not here: the subcommands' options (the other modules), or what they do.
"""
# ruff: noqa: PLC0415 - each command imports what it runs only then, so that `forebay --help` stays fast

from importlib import metadata

import click

from forebay.cli.administering import keys, limits, users
from forebay.cli.benchmarking import bench_engine
from forebay.cli.completing import completion
from forebay.cli.configuring import check_config, config_docs, config_schema, envoy_config, init
from forebay.cli.controlling import controllers
from forebay.cli.diagnosing import doctor
from forebay.cli.displaying import console
from forebay.cli.downloading import download
from forebay.cli.explaining import explain
from forebay.cli.optimizing import optimizer
from forebay.cli.options import SETTINGS
from forebay.cli.planning import plan
from forebay.cli.pooling import pools
from forebay.cli.profiling import profile
from forebay.cli.running import engine, gateway, up
from forebay.cli.scaling import scale_decide
from forebay.cli.securing import make_secret
from forebay.cli.sidecar import runtime
from forebay.cli.simulating import calibrate, simulate
from forebay.cli.watching import top

USAGE_ERROR = 2
"""Exit status of a command whose options or configuration are invalid; click uses the same."""


class _Commands(click.Group):
    """A group whose commands may raise ConfigurationError and NoWayError."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; print each problem as a line instead of a traceback."""
        from gateway.config.loading import ConfigurationError
        from kube.errors import NoWayError

        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            for problem in error.problems:
                click.echo(f"forebay: {problem}", err=True)
            raise click.exceptions.Exit(USAGE_ERROR) from error
        except NoWayError as error:
            raise click.ClickException(str(error)) from error


def _print_version(ctx: click.Context, _parameter: click.Parameter, requested: bool) -> None:
    if not requested:
        return
    try:
        click.echo(f"forebay {metadata.version('forebay')}")
    except metadata.PackageNotFoundError:
        click.echo("forebay (run from its source, not installed)")
    ctx.exit()


@click.group(cls=_Commands, context_settings=SETTINGS)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def main() -> None:
    """Forebay, an LLM inference gateway for Envoy."""


for _command in (
    up, init, gateway, controllers, optimizer, runtime, engine, simulate, plan, scale_decide, explain, calibrate,
    bench_engine, profile, download, check_config, envoy_config, config_docs, config_schema, make_secret,
    doctor, top, completion, console, users, keys, limits, pools,
):  # fmt: skip
    main.add_command(_command)
