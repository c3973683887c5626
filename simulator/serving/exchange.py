"""One HTTP request as a generating endpoint sees it.

Lives here: the ASGI callables under names.  Not here: what is answered (generating).
Plain ASGI, not a framework's response: a client that leaves must free its slot at once, also while nothing is sent.
"""

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from simulator.openai.errors import MediaTypeError, parse_json
from simulator.serving.engine import ClientGoneError

TRANSPORT = "simulator.transport"
"""The ASGI extension whose `abort` closes the connection at once, for the faults that do."""

VARY = (b"vary", b"Origin")  # vLLM sends it with every answer
JSON_TYPE = (b"content-type", b"application/json")


class Exchange:
    """One request with its ASGI callables; knows whether the answer has begun."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.request = Request(scope, receive)
        self._scope = scope
        self._receive = receive
        self._send = send
        self.began = False

    async def json(self) -> object:
        """The body; ApiError when it is not JSON or not announced as JSON, ClientGoneError when it does not end."""
        media_type = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise MediaTypeError
        try:
            return parse_json(await self.request.body())
        except ClientDisconnect as error:
            raise ClientGoneError from error

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send status and headers."""
        self.began = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def answer(self, status: int, body: bytes) -> None:
        """Send a whole JSON answer."""
        await self.begin(status, [(b"content-length", b"%d" % len(body)), JSON_TYPE, VARY])
        await self.write(body, last=True)

    async def gone(self) -> None:
        """Return when the client has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def cut(self) -> None:
        """Close the connection without another byte."""
        self._scope["extensions"][TRANSPORT]["abort"]()
