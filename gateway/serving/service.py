"""What the gRPC methods do, whichever transport carries them.

Lives here: sessions, access-log batches, health.  Not here: framing (framing), transports (asgi, grpc).
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from gateway.accesslog import finished
from gateway.extproc.session import ProtocolError, Session
from gateway.ledger import Ledger
from gateway.pipeline import Pipeline
from gateway.settings import Settings
from gateway.settlement import Seen
from proto import health_pb2 as health

WATCH_S = 0.25
"""How soon a watcher of the health service learns of a change (chosen)."""


class Service:
    """One worker's gRPC services."""

    def __init__(self, settings: Settings, pipeline: Pipeline, ledger: Ledger, ready: Callable[[], bool]) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._ledger = ledger
        self._ready = ready

    def session(self) -> Session:
        """A new ext_proc stream."""
        return Session(self._settings, self._pipeline, self._ledger)

    def access_log(self, message: bytes) -> None:
        """Settle what a batch of entries tells.  Raises ProtocolError."""
        try:
            entries = list(finished.decode(message))
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        for entry in entries:
            seen = Seen(
                status=entry.status,
                usage=entry.usage,
                error_code=entry.error_code,
                cut=entry.client_gone,
                broken=entry.pod_broke_off,
                response_bytes=entry.response_bytes,
                duration_s=entry.duration_s,
                upstream=entry.upstream,
            )
            self._ledger.ended(entry.exchange, seen)

    def health(self) -> bytes:
        """A serialised HealthCheckResponse: SERVING once pods are known and until draining."""
        status = health.HealthCheckResponse.SERVING if self._ready() else health.HealthCheckResponse.NOT_SERVING
        return health.HealthCheckResponse(status=status).SerializeToString()

    async def health_changes(self) -> AsyncIterator[bytes]:
        """The status now, then each time it changes; never ends."""
        last = b""
        while True:
            if (now := self.health()) != last:
                last = now
                yield now
            await asyncio.sleep(WATCH_S)
