"""Keeps Envoy's endpoints (EDS) in step with the models of the configuration.

Lives here: looking for changes and rewriting the file.  Not here: its content (gateway.envoy.endpoints), what the
gateway itself makes of the models (gateway.discovery).
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from gateway.configuration import ConfigurationError, load_models
from gateway.envoy.endpoints import write_eds
from gateway.settings import Settings
from routing.table import STRATEGIES

_POLL_S = 1.0
"""Between two looks at the models file; a pod that is new waits this long for its first request."""


def write_endpoints(settings: Settings) -> None:
    """Write the EDS file, if the settings name one.  Raises ConfigurationError when the models cannot be read."""
    if not settings.envoy.eds_file:
        return
    models = settings.models
    if settings.models_file:
        models = load_models(Path(settings.models_file), os.environ, STRATEGIES)
    write_eds(Path(settings.envoy.eds_file), models)


async def follow_models(settings: Settings, say: Callable[[str], None]) -> None:
    """Rewrite the EDS file whenever the models file changes, without end; with a broken one the old endpoints stay."""
    seen = _fingerprint(settings.models_file)
    while True:
        await asyncio.sleep(_POLL_S)
        now = _fingerprint(settings.models_file)
        if now == seen:
            continue
        seen = now
        try:
            write_endpoints(settings)
        except ConfigurationError as error:
            say(f"{settings.models_file} is not used, the endpoints stay as they were: {'; '.join(error.problems)}")


def _fingerprint(file: str) -> tuple[int, int] | None:
    """Changes when the file does; None while there is none."""
    try:
        found = Path(file).stat() if file else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found else None
