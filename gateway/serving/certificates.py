"""The certificates of `listen.tls`, as the files are now: every new connection gets the newest that are sound.

Lives here: reading the files again when they change, and what each kind of server wants of them.  Not here: checking
them when a configuration is read (gateway.config.certificates), the bytes of a connection (gateway.serving.http2.tls).
"""

import asyncio
import os
import ssl
from pathlib import Path
from typing import NamedTuple

import structlog

from gateway.config.certificates import gateway_file_problems
from gateway.config.problems import ConfigurationError
from gateway.config.settings import Settings
from gateway.config.tls import ListenTlsSettings

log = structlog.get_logger("certificates")

POLL_S = 1.0
"""Seconds between two looks at the files (chosen: it costs a few system calls, and certificates are renewed hours
before they expire)."""

_Stamp = tuple[tuple[int, int, int], ...]
"""For each file what changes with its content or its permissions: inode, size and time of the last change."""


class Loaded(NamedTuple):
    """Certificates that belong together."""

    grpc: ssl.SSLContext
    pages: ssl.SSLContext
    """The same without client certificates and with HTTP/1.1, for `http` and `admin`."""
    cert: bytes
    key: bytes
    client_ca: bytes


class Certificates:
    """The newest sound certificates.  Raises ConfigurationError when there are none at the start."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tls = settings.listen.tls
        self._seen = self._stamp()
        if problems := tuple(gateway_file_problems(settings)):
            raise ConfigurationError(problems)
        self.loaded = _load(self._tls)
        self._read = self._seen

    async def run(self) -> None:
        """Look for changes for ever."""
        while True:
            await asyncio.sleep(POLL_S)
            self.look()

    def look(self) -> None:
        """Read the files once they have changed and stand still: several are seldom replaced in one step."""
        before, self._seen = self._seen, self._stamp()
        if self._seen != before or self._seen == self._read:
            return
        self._read = self._seen
        problems = list(gateway_file_problems(self._settings))
        try:
            self.loaded = self.loaded if problems else _load(self._tls)
        except (OSError, ssl.SSLError) as error:  # they changed since
            problems = [str(error)]
        if problems:
            log.error("certificates_kept", problems=problems)
        else:
            log.info("certificates_loaded")

    def _stamp(self) -> _Stamp:
        return tuple(_stamp(file) for file in (self._tls.cert, self._tls.key, self._tls.client_ca) if file)

    def pages_context(self) -> ssl.SSLContext:
        """Return a context for servers that keep one for ever: each handshake goes on with the newest."""

        def use_newest(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: ssl.SSLContext) -> None:
            connection.context = self.loaded.pages

        context = _context(self._tls, "http/1.1")
        context.sni_callback = use_newest
        return context


def certificates_of(settings: Settings) -> Certificates | None:
    """Return the certificates, None where the gateway speaks plain text.  Raises ConfigurationError."""
    return Certificates(settings) if settings.listen.tls.on else None


def _stamp(file: str) -> tuple[int, int, int]:
    try:
        status = os.stat(file)  # noqa: PTH116 - of whatever a link leads to
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_size, status.st_ctime_ns)


def _load(tls: ListenTlsSettings) -> Loaded:
    """Read the files.  Raises OSError and ssl.SSLError."""
    grpc, pages = _context(tls, "h2"), _context(tls, "http/1.1")
    client_ca = b""
    if tls.client_ca:
        client_ca = Path(tls.client_ca).read_bytes()
        grpc.load_verify_locations(tls.client_ca)
        grpc.verify_mode = ssl.CERT_REQUIRED
    return Loaded(grpc, pages, Path(tls.cert).read_bytes(), Path(tls.key).read_bytes(), client_ca)


def _context(tls: ListenTlsSettings, protocol: str) -> ssl.SSLContext:
    """Return a context.  Sessions can be resumed in the one that they began in, so never beyond new certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([protocol])
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(tls.cert, tls.key, password=lambda: b"")
    return context
