"""The answer of a pod as it passes through external processing: what is read of it and what the client sees.

Lives here: usage of streams and of whole bodies, the hidden usage chunk, response headers.  Pure.
"""

from collections.abc import Mapping

from gateway.envoy.names import DESTINATION
from gateway.extproc.commands import Finish, Mutation
from gateway.extproc.events import ResponseHeaders, Routed
from gateway.openai.errors import header_safe
from gateway.openai.stream_usage import UsageChunkFilter
from gateway.openai.usage import JsonUsageCollector, SseUsageParser

UNTRUSTED = frozenset({"target-pod", "target-pod-ip", DESTINATION})
_SUSPECT = ("target-pod", "x-forebay-", DESTINATION)
"""How they begin: one look at each of a request's headers."""

STATUS_DIGITS = 3


def untrusted(headers: Mapping[str, str], ours: Mapping[str, str]) -> list[str]:
    """Names that only the gateway may set (contracts section 1) and did not: a client's or an engine's are removed."""
    suspects = [name for name in headers if name.startswith(_SUSPECT)]
    return [name for name in suspects if (name in UNTRUSTED or name.startswith("x-forebay-")) and name not in ours]


class ResponseReader:
    """Reads one answer.  `hide_usage`: the usage chunk was asked for by us, not by the client."""

    def __init__(self, event: ResponseHeaders, *, hide_usage: bool) -> None:
        self._event = event
        status = event.headers.get(":status", "")
        self._status = int(status) if len(status) == STATUS_DIGITS and status.isdecimal() else None
        kind = event.headers.get("content-type", "")
        self._sse = SseUsageParser() if kind.startswith("text/event-stream") else None
        self._json = JsonUsageCollector()
        self._filter = UsageChunkFilter() if self._sse is not None and hide_usage else None

    def mutation(self, routed: Routed | None) -> Mutation:
        """The headers the client should see; what an engine may not claim is removed."""
        if routed is None:
            return Mutation()
        headers = routed.response_headers
        served = self._event.served
        if served is not None:
            headers.pop("target-pod", None)  # of a pod we do not know: better no name than a wrong one
            if served in routed.pods:
                headers["target-pod"] = routed.pods[served]
            if "target-pod-ip" in headers:
                headers["target-pod-ip"] = header_safe(served)
        removed = untrusted(self._event.headers, headers)
        if self._filter is not None and "content-length" in self._event.headers:
            removed.append("content-length")
        return Mutation(headers, tuple(removed))

    def feed(self, data: bytes, *, end: bool) -> bytes:
        """Read a piece and return what of it the client should get."""
        if self._sse is not None:
            self._sse.feed(data)
        else:
            self._json.feed(data)
        if self._filter is None:
            return data
        shown = self._filter.feed(data)
        return shown + self._filter.finish() if end else shown

    def finish(self, *, complete: bool) -> Finish:
        """What was learned."""
        served = self._event.served
        if self._sse is None:
            self._json.finish()
            return Finish(self._status, self._json.usage, complete=complete, served=served)
        self._sse.finish()
        return Finish(self._status, self._sse.usage, self._sse.error_code, complete, self._sse.content_chunks, served)
