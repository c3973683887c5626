"""What the gRPC methods do, whichever transport carries them.

Lives here: ext_proc streams, access-log batches, health.  Not here: framing (framing), transports (grpc, http2).
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog
from google.protobuf.message import DecodeError

from gateway.accounting import access_log
from gateway.accounting.ledger import Ledger
from gateway.admission.admit import Admission
from gateway.config.settings import Settings
from gateway.pb import health_pb2 as health
from gateway.serving.ext_proc_stream import ExtProcStream, ProtocolError

log = structlog.get_logger("service")

EXT_PROC = "envoy.service.ext_proc.v3.ExternalProcessor"
ACCESS_LOG = "envoy.service.accesslog.v3.AccessLogService"
HEALTH = "grpc.health.v1.Health"
SERVICES = frozenset({"", EXT_PROC, ACCESS_LOG, "inference-extension"})
"""What a health check may name.  The last is what probes of Gateway API Inference Extension's own picker ask for."""

WATCH_S = 0.25
"""How soon a watcher of the health service learns of a change (chosen)."""


class Service:
    """The gRPC services of one worker.

    `on_attempt_failed` is called with the address of an engine that failed an attempt, whatever became of the request.
    """

    def __init__(
        self,
        settings: Settings,
        admission: Admission,
        ledger: Ledger,
        *,
        ready: Callable[[], bool],
        on_attempt_failed: Callable[[str], None],
        on_error: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._admission = admission
        self._ledger = ledger
        self._on_attempt_failed = on_attempt_failed
        self._ready = ready
        self._on_error = on_error

    def ext_proc_stream(self) -> ExtProcStream:
        """A new ext_proc stream."""
        return ExtProcStream(self._settings, self._admission, self._ledger)

    def access_log(self, message: bytes) -> None:
        """Settle what a batch of entries tells.  Raises ProtocolError."""
        try:
            batch = access_log.decode(message)
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        for address in batch.failed:
            self._on_attempt_failed(address)
        for exchange_id, end in batch.ends:
            self._ledger.ended(exchange_id, end)

    def failed(self, method: str, error: Exception) -> None:
        """Log and count the exception that ended a call: a defect of ours."""
        log.error("call_failed", method=method, exc_info=error)
        self._on_error("grpc")

    def knows(self, request: bytes) -> bool:
        """Whether a HealthCheckRequest asks about a service that is here; no name means all of them."""
        try:
            return health.HealthCheckRequest.FromString(request).service in SERVICES
        except DecodeError as error:
            raise ProtocolError("not a HealthCheckRequest") from error

    def health(self) -> bytes:
        """A serialised HealthCheckResponse: SERVING once pods are known and until draining."""
        status = health.HealthCheckResponse.SERVING if self._ready() else health.HealthCheckResponse.NOT_SERVING
        return health.HealthCheckResponse(status=status).SerializeToString()

    async def health_changes(self, request: bytes) -> AsyncIterator[bytes]:
        """The status now, then each time it changes; never ends.  Of an unknown service: that it is unknown."""
        unknown = health.HealthCheckResponse(status=health.HealthCheckResponse.SERVICE_UNKNOWN).SerializeToString()
        known = self.knows(request)
        last = b""
        while True:
            if (now := self.health() if known else unknown) != last:
                last = now
                yield now
            await asyncio.sleep(WATCH_S)
