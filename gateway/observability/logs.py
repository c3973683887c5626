"""Structured logs: one event and its fields per line on standard error, as JSON unless that is a terminal.

Lives here: the set-up of structlog and of the standard library's logging, which other libraries use.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.config.addresses import without_credentials

SECRET_FIELDS = frozenset(
    {"authorization", "api_key", "admin_token", "password", "prompt", "messages", "input", "completion"}
)
"""Fields whose values are never written, even when one is logged by mistake: keys, prompts and completions."""

QUIET_LOGGERS = ("uvicorn.access", "httpx", "httpcore", "httpx2", "httpcore2")
"""Loggers that write a line per request: only their warnings are written."""


def set_up(level: str, stream: TextIO | None = None) -> None:
    """Write structlog's and the standard library's records of at least `level` to the stream (default: standard error).

    A call below the level costs an attribute look-up and an empty function.
    """
    stream = stream or sys.stderr
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
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
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # uvicorn gives them handlers of their own
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def _without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask secret fields, and credentials in a `url`."""
    for name in event.keys() & SECRET_FIELDS:
        event[name] = "***"
    if "url" in event:
        event["url"] = without_credentials(str(event["url"]))
    return event


def _json(event: Mapping[str, Any], **_options: Any) -> str:
    """Serialise an event as one line; a value that JSON has no type for is written as its `str`."""
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
