"""Structured logs: one event name and its fields per line on standard error, JSON unless a person is looking.

Lives here: the set-up, for structlog and for libraries that use the standard library's logging.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.config.addresses import without_credentials

SECRETS = frozenset(
    {"authorization", "api_key", "admin_token", "password", "prompt", "messages", "input", "completion"}
)
"""Fields that are never written, whoever passes them by mistake: keys, prompts and completions."""

QUIET = ("uvicorn.access", "httpx", "httpcore")
"""Loggers that write a line per request; only their warnings are of interest."""


def set_up(level: str, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's records of at least `level` to the stream (standard error).

    Below the level a call costs one attribute look-up and an empty function.
    """
    stream = stream or sys.stderr
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_secrets,
    ]
    renderers = _renderers(stream)
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )
    _route_standard_logging(threshold, formatter, stream)


def _renderers(stream: TextIO) -> list[Processor]:
    if stream.isatty():
        return [structlog.dev.ConsoleRenderer()]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_json)]


def _route_standard_logging(threshold: int, formatter: logging.Formatter, stream: TextIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.basicConfig(level=threshold, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # they come with handlers of their own
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def _without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blank out what must not be written."""
    for name in event.keys() & SECRETS:
        event[name] = "***"
    if "url" in event:
        event["url"] = without_credentials(str(event["url"]))
    return event


def _json(event: Mapping[str, Any], **_options: Any) -> str:
    """One line; what JSON has no type for is written as its text."""
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
