"""The command `runtime`, which is `aibrix_runtime` too, under the name and with the options that people know.

Lives here: options and environment.  Not here: the process (forebay.sidecar).
"""
# ruff: noqa: PLC0415 - the command imports what it runs only then, so that `forebay --help` stays fast

import os

import click

from forebay.cli.options import renamed


@click.command("runtime")
@click.option("--host", default="0.0.0.0", help="Address of the pages.")  # noqa: S104 - kubelets and Prometheus ask here
@click.option("--port", type=click.IntRange(1, 65535), default=8080, help="Port of the pages.")
@click.option("--enable-fastapi-docs", is_flag=True, help="Serve /docs, /redoc and /openapi.json too.")
@click.option(
    "--admin-token", default="", envvar="RUNTIME_ADMIN_TOKEN", show_envvar=True,
    help="Calls other than GET need it as bearer token.",
)  # fmt: skip
def runtime(*, host: str, port: int, enable_fastapi_docs: bool, admin_token: str) -> None:
    """Stand beside an engine: its adapters, downloads, sleep, and its metrics under standard names.

    The engine is named by the environment: INFERENCE_ENGINE (vllm, sglang, or any other with OpenAI's API) and
    INFERENCE_ENGINE_ENDPOINT.
    """
    from forebay.local.extras import require

    require("forebay runtime", "runtime", "httpx")
    from forebay.sidecar.process import Options, run
    from gateway.config.addresses import joined_address
    from gateway.config.loading import ConfigurationError
    from runtime.settings import SettingsError, read_settings

    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        raise ConfigurationError(error.problems) from error
    run(Options(joined_address(host, port), enable_fastapi_docs, admin_token), settings)


def aibrix_runtime() -> None:
    """Run the command under the name that AIBrix gave it."""
    renamed(runtime, "aibrix_runtime")()
