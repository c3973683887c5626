"""One client's TLS as a state machine: ciphertext in, plaintext out, and the reverse.  No I/O.

Lives here: the handshake and the records, by Python's ssl.  Not here: certificates (gateway.serving.certificates),
sockets and the time that a handshake may take (server).
"""

import ssl
from contextlib import suppress
from typing import Final

HANDSHAKE_RECORD: Final = 0x16
"""The first byte of a client that speaks TLS (RFC 8446 section 5.1); HTTP/2's preface begins with a letter."""
_RECORD_BYTES: Final = 16 * 1024
"""The most plaintext of one record (RFC 8446 section 5.1)."""


class Tls:
    """The server's side of one connection."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.begun = False
        """Whether the client has sent anything."""
        self.shaken = False
        """Whether the handshake has ended, so that the server may speak."""

    def receive(self, data: bytes) -> bytes:
        """Return the plaintext that is complete now.  Raises ssl.SSLError; send `take` then too, it says why."""
        self.begun = True
        self._incoming.write(data)
        received: list[bytes] = []
        try:
            if not self.shaken:
                self._ssl.do_handshake()
                self.shaken = True
            while self._incoming.pending and (piece := self._ssl.read(_RECORD_BYTES)):  # it is empty after the end
                received.append(piece)
        except ssl.SSLWantReadError:
            pass  # the rest of a record, or of the handshake, is still on its way
        return received[0] if len(received) == 1 else b"".join(received)

    def protect(self, data: bytes) -> bytes:
        """Return the ciphertext of what the server says.  Raises ssl.SSLError before the handshake has ended."""
        self._ssl.write(data)
        return self._outgoing.read()

    def take(self) -> bytes:
        """Return what has to be sent for the sake of TLS itself, mostly nothing."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def end(self) -> bytes:
        """Return the bytes that tell the client that nothing follows; those of the client are not awaited."""
        with suppress(ssl.SSLError):  # the client has not said the same yet, or there was no handshake
            self._ssl.unwrap()
        return self.take()


def reason_of(error: ssl.SSLError) -> str:
    """Return why a connection ended, for the log."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client's certificate: {error.verify_message}"
    return f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
