"""The commands about the configuration file: `check-config`, `config-docs`, `config-schema`, `envoy-config`."""
# ruff: noqa: PLC0415 - each command imports its part when it runs, so that `forebay --help` stays fast

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forebay.cli.options import A_FILE

if TYPE_CHECKING:
    from gateway.config.settings import Settings


@click.command()
@click.argument("file", type=A_FILE)
def check_config(file: Path) -> None:
    """List everything that is wrong with a file and its models file, or print ok and a summary."""
    from gateway.config.loading import ConfigurationError

    try:
        settings = _loaded(file)
    except ConfigurationError as error:
        for problem in error.problems:
            click.echo(problem)
        raise click.exceptions.Exit(1) from error
    click.echo(f"{file}: ok\n{_summary(settings)}")


@click.command()
@click.option("--config", "file", type=A_FILE, required=True, help="The configuration file.")
def envoy_config(file: Path) -> None:
    """Print the Envoy configuration for a file."""
    import yaml

    from gateway.discovery.models import describe
    from gateway.envoy.config import render

    settings = _loaded(file)
    click.echo(yaml.safe_dump(render(settings, describe(settings.models)), sort_keys=False), nl=False)


@click.command()
def config_docs() -> None:
    """Print every configuration key, as Markdown."""
    from gateway.config.page import configuration_page

    click.echo(configuration_page(), nl=False)


@click.command()
def config_schema() -> None:
    """Print the JSON schema of the configuration file, for editors."""
    import orjson

    from gateway.config.schema import settings_schema

    click.echo(orjson.dumps(settings_schema(), option=orjson.OPT_INDENT_2))


def _loaded(file: Path) -> "Settings":
    """Return the settings with their models.  Raises ConfigurationError, each problem after the path of its file."""
    from gateway.config.loading import load_with_models
    from routing.table import STRATEGIES

    return load_with_models(file, os.environ, STRATEGIES)


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
