"""A pod's answer on its way through external processing: what is learned from it, and what the client gets.

Lives here: the usage of streams and JSON bodies, hiding the usage chunk, the model that clients see, response headers.
Pure.
"""

import re
from collections.abc import Mapping

from gateway.envoy.names import CLIENT_MODEL, COMPRESSION, DESTINATION, FOR_PROXIES, JSON_TYPES
from gateway.extproc.commands import Finish, Mutation
from gateway.extproc.events import ResponseHeaders, Routed
from gateway.openai.codings import is_coded
from gateway.openai.control_headers import CONTROL_HEADERS, PICKER_HEADERS
from gateway.openai.engine_errors import error_in_answer
from gateway.openai.errors import header_safe
from gateway.openai.json_answer import JsonAnswer
from gateway.openai.rewrites import AnswerModel, EventModels
from gateway.openai.stream_usage import UsageChunkFilter
from gateway.openai.usage import SseUsageParser, parse_usage

RESERVED = (
    frozenset({
        "target-pod", "target-pod-ip", DESTINATION, f"{DESTINATION}-subset", f"{DESTINATION}-served", CLIENT_MODEL,
        FOR_PROXIES,
    })
    | PICKER_HEADERS
)  # fmt: skip
"""Headers that only the gateway may set, in addition to every `x-forebay-*`, and those that end at a proxy or at the
gateway (docs/contracts.md section 1)."""
_RESERVED_PREFIXES = ("target-pod", "x-forebay-", "x-gateway-", CLIENT_MODEL, FOR_PROXIES)
"""The prefixes of all of them, so that each header of a request is tested once."""

STATUS_DIGITS = 3

_JSON = re.compile(JSON_TYPES)


def headers_to_remove(headers: Mapping[str, str], set_by_us: Mapping[str, str]) -> list[str]:
    """Return the names of headers that a client or an engine has sent and that end here, unless the gateway sets them.

    They are the reserved ones, and the twins with underscores of all that we read: servers of the WSGI kind take one
    for the other.
    """
    candidates = [name for name in headers if name.startswith(_RESERVED_PREFIXES) or "_" in name]
    return [name for name in candidates if _ends_here(name) and name not in set_by_us]


def _ends_here(name: str) -> bool:
    spelt = name.replace("_", "-")
    is_twin = name != spelt and spelt in CONTROL_HEADERS
    return is_twin or spelt in RESERVED or spelt.startswith(("x-forebay-", "x-envoy-"))


class ResponseReader:
    """Reads one answer.

    `hide_usage`: the gateway asked for the usage chunk and the client did not.  `model`: the one that the client asked
    for, where the gateway asked for another; empty = the answer is left as it is.
    """

    def __init__(self, event: ResponseHeaders, *, hide_usage: bool, model: str = "") -> None:
        self._event = event
        status = event.headers.get(":status", "")
        self._status = int(status) if len(status) == STATUS_DIGITS and status.isdecimal() else None
        self._compressed = is_coded(event.headers.get(COMPRESSION, ""))
        media_type = event.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_json = not media_type or _JSON.fullmatch(media_type) is not None
        self._sse = SseUsageParser() if media_type == "text/event-stream" and not self._compressed else None
        self._json = JsonAnswer() if is_json and not self._compressed else None
        self._filters: list[UsageChunkFilter | EventModels | AnswerModel] = []
        if self._sse is not None and hide_usage:
            self._filters.append(UsageChunkFilter())
        if model and self._sse is not None:
            self._filters.append(EventModels(model))
        elif model and self._json is not None:
            self._filters.append(AnswerModel(model))

    def mutation(self, routed: Routed | None) -> Mutation:
        """Return the changes to the response headers: those that the client gets, and reserved ones of an engine."""
        if routed is None:
            return Mutation()
        headers = routed.response_headers
        upstream = self._event.upstream
        if upstream is not None:
            headers.pop("target-pod", None)  # an unknown pod gets no name rather than that of the chosen one
            if upstream in routed.pods:
                headers["target-pod"] = routed.pods[upstream]
            headers.pop("x-forebay-pool", None)
            if upstream in routed.pools:
                headers["x-forebay-pool"] = header_safe(routed.pools[upstream])
            if "target-pod-ip" in headers:
                headers["target-pod-ip"] = header_safe(upstream)
        removed = headers_to_remove(self._event.headers, headers)
        if self._filters and "content-length" in self._event.headers:
            removed.append("content-length")
        return Mutation(headers, tuple(removed))

    def feed(self, data: bytes, *, end: bool) -> bytes:
        """Read a piece of the body, and return what the client gets of it."""
        if self._sse is not None:
            self._sse.feed(data)
        elif self._json is not None:
            self._json.feed(data)
        for change in self._filters:
            data = change.feed(data) + (change.finish() if end else b"")
        return data

    def finish(self, *, complete: bool) -> Finish:
        """Return what was learned from the answer."""
        upstream = self._event.upstream
        if self._sse is not None:
            self._sse.finish()
            return Finish(self._status, self._sse.usage, self._sse.error, complete, self._sse.content_chunks, upstream)
        members = self._json.members() if self._json is not None else None
        if members is None:
            return Finish(self._status, complete=complete, upstream=upstream, compressed=self._compressed)
        return Finish(
            self._status, parse_usage(members.get("usage")), error_in_answer(members), complete, upstream=upstream
        )
