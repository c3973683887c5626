"""HTTP servers of a process that has other work: uvicorn without signal handlers, on addresses that may be shared.

Lives here: the server and its socket.  Not here: what is served, and when it ends.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from gateway.config.addresses import split_address

BACKLOG = 1024
"""Connections that may wait to be accepted, per HTTP address (chosen)."""


def shared_socket(address: str) -> socket.socket:
    """Return a listening socket on an address that sibling processes bind too."""
    host, port = split_address(address)
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    return listener


def http_server(app: ASGIApp, tls: ssl.SSLContext | None = None) -> uvicorn.Server:
    """Return a server of `app`, in TLS if there is a context for it: it serves until its `should_exit` is set."""
    config = uvicorn.Config(app, lifespan="off", access_log=False, log_config=None)
    config.load()
    config.ssl = tls
    return _QuietServer(config)


class _QuietServer(uvicorn.Server):
    """uvicorn without its own signal handlers: the process has one for all its servers."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Override uvicorn's hook to install no signal handler."""
        yield
