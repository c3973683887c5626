"""Keeps Envoy's endpoints (EDS) in step with the models of the configuration.

Lives here: looking for changes and rewriting the file.  Not here: its content (gateway.envoy.endpoints), what the
gateway itself makes of the models (gateway.discovery).
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from gateway.config.loading import ConfigurationError, load_models
from gateway.config.settings import Settings
from gateway.discovery.static import fingerprint
from gateway.envoy.endpoints import write_eds
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
    """Rewrite the EDS file whenever the models file, if any, changes; with a broken one the old endpoints stay."""
    if not settings.models_file:
        return
    file = Path(settings.models_file)
    seen = None  # read once more: it may have changed since the endpoints were first written
    while True:
        await asyncio.sleep(_POLL_S)
        now = fingerprint(file)
        if now == seen:
            continue
        seen = now
        try:
            write_endpoints(settings)
        except ConfigurationError as error:
            say(f"{file} is not used, the endpoints stay as they were: {'; '.join(error.problems)}")
        except OSError as error:
            seen = None  # a full disk, for example: tried again
            say(f"{settings.envoy.eds_file} cannot be written, the endpoints stay as they were: {error}")
