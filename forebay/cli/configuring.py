"""The commands about the configuration file: `init`, `check-config`, `config-docs`, `config-schema`, `envoy-config`."""
# ruff: noqa: PLC0415 - each command imports what it runs only then, so that `forebay --help` stays fast

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forebay.cli.options import ENGINE_URLS, FILE_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from forebay.local.engine_url import EngineUrl
    from gateway.config.settings import Settings


@click.command()
@click.argument("file", type=FILE_PATH, default=Path("forebay.yaml"))
@ENGINE_URLS
@click.option("--force", is_flag=True, help="Replace a file that exists.")
def init(file: Path, engine_urls: tuple["EngineUrl", ...], force: bool) -> None:
    """Write a configuration to start from, with an explanation of each key."""
    from forebay.local.engine_url import EngineError, ask_engines
    from forebay.local.starter import starter_text

    try:
        text = starter_text(str(file), asyncio.run(ask_engines(engine_urls)))
        with file.open("w" if force else "x", encoding="utf-8") as opened:
            opened.write(text)
    except EngineError as error:
        raise click.ClickException(str(error)) from error
    except FileExistsError:
        raise click.ClickException(f"{file} exists; --force replaces it") from None
    except OSError as error:
        raise click.ClickException(f"{file}: cannot be written: {error.strerror}") from error
    click.echo(f"{file}: written.  Run it: {_own_command()} up --config {file}")


def _own_command() -> str:
    """Return how this program is called: `forebay` where the shell finds it, else by the path that was typed."""
    typed = sys.argv[0]
    return typed if Path(typed).name == "forebay" and not shutil.which("forebay") else "forebay"


@click.command()
@click.argument("file", type=FILE_PATH)
def check_config(file: Path) -> None:
    """List every problem of a configuration and its models file, or print ok and a summary."""
    from gateway.config.certificates import all_file_problems
    from gateway.config.loading import ConfigurationError

    try:
        settings = _load(file, all_file_problems)
    except ConfigurationError as error:
        for problem in error.problems:
            click.echo(problem)
        raise click.exceptions.Exit(1) from error
    click.echo(f"{file}: ok\n{_summary(settings)}")


@click.command()
@click.option("--config", "file", type=FILE_PATH, required=True, help="The configuration file.")
@click.option(
    "--envoy-gateway",
    "listener",
    type=click.Choice(["http", "https"]),
    help="Print the EnvoyPatchPolicies of this listener of the Gateway in deploy/ instead.",
)
def envoy_config(file: Path, listener: str | None) -> None:
    """Print the Envoy configuration that belongs to a configuration file; write `envoy.eds_file` if it is missing."""
    import yaml

    from gateway.config.certificates import envoy_file_problems, rendered_problems
    from gateway.discovery.models import described
    from gateway.envoy.config import render
    from gateway.envoy.patches import LISTENERS, patch_policies

    if listener:
        settings = _load(file, envoy_file_problems)
        policies = patch_policies(settings, LISTENERS[listener])
        # This style is the shortest: what has no mapping or list within it is on one line.
        click.echo(yaml.safe_dump_all(policies, sort_keys=False, default_flow_style=None, width=120), nl=False)
        return
    settings = _load(file, rendered_problems)
    _write_first_endpoints(settings)
    click.echo(yaml.safe_dump(render(settings, described(settings)), sort_keys=False), nl=False)


@click.command()
def config_docs() -> None:
    """Print the reference of all configuration keys, as Markdown."""
    from gateway.config.page import configuration_page

    click.echo(configuration_page(), nl=False)


@click.command()
def config_schema() -> None:
    """Print the JSON schema of the configuration file, for editors."""
    import orjson

    from gateway.config.schema import settings_schema

    click.echo(orjson.dumps(settings_schema(), option=orjson.OPT_INDENT_2))


def _load(file: Path, file_problems: "Callable[[Settings], Iterable[str]]") -> "Settings":
    """Load the settings and their models.  Raises ConfigurationError with the path of the file before each problem."""
    from gateway.config.loading import load_with_models
    from routing.table import STRATEGIES

    return load_with_models(file, os.environ, STRATEGIES, file_problems)


def _write_first_endpoints(settings: "Settings") -> None:
    """Write `envoy.eds_file` where there is none yet, because Envoy does not start without it; a gateway renews it."""
    from gateway.discovery.models import described
    from gateway.envoy.endpoints import write_eds

    file = Path(settings.envoy.eds_file)
    if not settings.envoy.eds_file or file.exists():
        return
    try:
        write_eds(file, described(settings))
    except OSError as error:
        click.echo(f"forebay: envoy.eds_file = {file}, cannot be written here: {error.strerror}", err=True)


def _summary(settings: "Settings") -> str:
    """Summarise a configuration, one subject per line."""
    from gateway.config.addresses import without_credentials

    listen = settings.listen
    models = [f"{model.name} ({len(model.endpoints)} endpoints)" for model in settings.models]
    if settings.kubernetes.enabled:
        models = [f"pods of {settings.kubernetes.namespace or 'all namespaces'} in Kubernetes"]
    return "\n".join(
        [
            f"  models: {', '.join(models) or 'none'}",
            f"  strategy: {settings.routing.strategy}",
            f"  redis: {without_credentials(settings.redis.url)}, when away: {settings.redis.when_away}",
            f"  listen: grpc {listen.grpc} ({settings.transport}), http {listen.http}, admin {listen.admin}",
            f"  TLS: {_tls(settings)}",
            f"  response mode: {settings.response_mode}",
            f"  who may send: {_senders(settings)}",
            f"  who may administer: {_administrators(settings)}",
        ]
    )


def _tls(settings: "Settings") -> str:
    """Say which addresses speak TLS, and of whom they want a certificate."""
    tls = settings.listen.tls
    faces = [f"listen.{name}" for name in ("grpc", "http", "admin") if name in tls.on]
    faces += ["envoy.listen"] if settings.envoy.tls.cert else []
    clients = "; gRPC wants certificates by listen.tls.client_ca" if tls.client_ca else ""
    return (", ".join(faces) or "none") + clients


def _senders(settings: "Settings") -> str:
    """Say who may send requests, and as whom."""
    if settings.identity == "api_key":
        known, anonymous = "whoever has an API key, as its user", "a request without a key"
    else:
        known, anonymous = "whom the header user names, which is believed", "a request without that header"
    treatments = {"allow": f"{anonymous} is served without limits", "deny": f"{anonymous} is refused (401)"}
    as_user = f"{anonymous} counts as the user {settings.anonymous_requests}"
    return f"{known}; {treatments.get(settings.anonymous_requests, as_user)}"


def _administrators(settings: "Settings") -> str:
    """Say who may use the admin REST."""
    if settings.admin_token:
        return "whoever has the admin_token"
    if settings.admin_open:
        return f"whoever reaches {settings.listen.admin}, without a token (admin_open: for closed test clusters)"
    return "programs of this machine, without a token"
