"""The check of a certificate and its key, as Envoy will read them.

Lives here: reading both files and comparing them.  Not here: where they are named (settings), serving TLS
(gateway.envoy.listener).
"""

import ssl
from collections.abc import Iterator
from pathlib import Path

from gateway.config.settings import TlsSettings


def certificate_problems(tls: TlsSettings) -> Iterator[str]:
    """Yield a line for each thing that is wrong with the files of `envoy.tls`; nothing where there are none."""
    if not (tls.cert and tls.key):
        return
    unreadable = [f"envoy.tls.{name} = {file}, {why}" for name, file in tls if (why := _why_unreadable(file))]
    yield from unreadable
    if unreadable:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert, tls.key, password=lambda: b"")
    except ssl.SSLError as error:
        is_of_another = error.reason == "KEY_VALUES_MISMATCH"
        rule = "must be the key of envoy.tls.cert" if is_of_another else "must be a PEM key without a password"
        yield f"envoy.tls.key = {tls.key}, {rule}, and envoy.tls.cert a PEM certificate"


def _why_unreadable(path: str) -> str:
    try:
        Path(path).read_bytes()
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""
