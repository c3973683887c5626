"""How a worker process learns what it is: from the environment that `launch` made."""

from collections.abc import Mapping
from pathlib import Path

from gateway.app import Place, Worker, worker_of
from gateway.config.loading import load
from gateway.serving.variables import ADDRESS_VARIABLE, CONFIG_VARIABLE, INDEX_VARIABLE, METRICS_VARIABLE
from routing.table import STRATEGIES


def worker_from(environ: Mapping[str, str]) -> Worker:
    """The worker that the environment describes.  Raises KeyError and ConfigurationError."""
    settings = load(Path(environ[CONFIG_VARIABLE]), environ, STRATEGIES)
    shared = environ.get(METRICS_VARIABLE)
    place = Place(int(environ[INDEX_VARIABLE]), environ[ADDRESS_VARIABLE], Path(shared) if shared else None)
    return worker_of(settings, place)
