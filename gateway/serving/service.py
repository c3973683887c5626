"""The gRPC methods, independent of the transport that carries them.

Lives here: ext_proc streams, access-log batches, health.  Not here: framing (framing), transports (grpc, http2).
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog
from google.protobuf.message import DecodeError

from gateway.accounting import access_log
from gateway.accounting.deliveries import Deliveries
from gateway.accounting.ledger import Ledger
from gateway.admission.admit import Admission
from gateway.config.settings import Settings
from gateway.pb import health_pb2 as health
from gateway.serving.ext_proc_stream import ExtProcStream, ProtocolError
from gateway.serving.framing import Unfinished

log = structlog.get_logger("service")

EXT_PROC = "envoy.service.ext_proc.v3.ExternalProcessor"
ACCESS_LOG = "envoy.service.accesslog.v3.AccessLogService"
HEALTH = "grpc.health.v1.Health"
SERVICES = frozenset({"", EXT_PROC, ACCESS_LOG, "inference-extension"})
"""The names that a health check may ask for; "" is the whole server, and "inference-extension" is the one that health
probes of Gateway API Inference Extension's own endpoint picker use."""

WATCH_S = 0.25
"""Interval at which Health.Watch looks for a change, in seconds (chosen)."""


class Service:
    """The gRPC services of one worker.

    `on_attempt_failed` is called with the address of an engine that failed an attempt, even if a retry was answered;
    `on_error` with the place of an unexpected exception.
    """

    def __init__(
        self,
        settings: Settings,
        admission: Admission,
        ledger: Ledger,
        deliveries: Deliveries,
        *,
        ready: Callable[[], bool],
        on_attempt_failed: Callable[[str], None],
        on_error: Callable[[str], None],
    ) -> None:
        self.unfinished = Unfinished()
        self.is_stopping = False
        """Whether the server is about to close.  An access-log stream then ends after its next batch, before another is
        due, and Envoy opens one elsewhere: so none is lost on its way."""
        self._settings = settings
        self._admission = admission
        self._ledger = ledger
        self._deliveries = deliveries
        self._on_attempt_failed = on_attempt_failed
        self._ready = ready
        self._on_error = on_error

    def ext_proc_stream(self) -> ExtProcStream:
        """Return the state of a new ext_proc stream."""
        return ExtProcStream(self._settings, self._admission, self._ledger, self.unfinished)

    def settle_access_log(self, message: bytes) -> None:
        """Settle the requests of a batch of access-log entries, or have them settled.  Raises ProtocolError."""
        try:
            batch = access_log.decode(message)
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        for address in batch.failed:
            self._on_attempt_failed(address)
        self._deliveries.take(batch.entries)

    def report_failure(self, method: str, error: Exception) -> None:
        """Log and count an unexpected exception that ended a call."""
        log.error("call_failed", method=method, exc_info=error)
        self._on_error("grpc")

    def knows_service(self, request: bytes) -> bool:
        """Return whether a serialised HealthCheckRequest names one of SERVICES.  Raises ProtocolError."""
        try:
            return health.HealthCheckRequest.FromString(request).service in SERVICES
        except DecodeError as error:
            raise ProtocolError("not a HealthCheckRequest") from error

    def health(self) -> bytes:
        """Return a serialised HealthCheckResponse: SERVING from when pods are known until the worker drains."""
        status = health.HealthCheckResponse.SERVING if self._ready() else health.HealthCheckResponse.NOT_SERVING
        return health.HealthCheckResponse(status=status).SerializeToString()

    async def health_changes(self, request: bytes) -> AsyncIterator[bytes]:
        """Yield the status now and each time it changes, for ever; SERVICE_UNKNOWN for an unknown service."""
        unknown = health.HealthCheckResponse(status=health.HealthCheckResponse.SERVICE_UNKNOWN).SerializeToString()
        is_known = self.knows_service(request)
        last = b""
        while True:
            current = self.health() if is_known else unknown
            if current != last:
                last = current
                yield current
            await asyncio.sleep(WATCH_S)
