"""One HTTP request and its response, for the generating endpoints.

Lives here: methods over the ASGI callables.  Not here: the content of responses (endpoints).
Plain ASGI instead of a framework's response, because a client that disconnects must free its place in the batch at
once, even while nothing is being sent.
"""

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from simulator.openai.errors import MediaTypeError, parse_json
from simulator.serving.async_engine import ClientGoneError

TRANSPORT = "simulator.transport"
"""The ASGI extension whose `abort` closes the connection at once, for faults that need it."""

VARY = (b"vary", b"Origin")  # vLLM sends it with every response
JSON_TYPE = (b"content-type", b"application/json")


class Exchange:
    """One request with its ASGI callables.  `began` is whether response headers were sent."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.request = Request(scope, receive)
        self._scope = scope
        self._receive = receive
        self._send = send
        self.began = False

    async def json(self) -> object:
        """Return the body.

        Raises ApiError when it is not JSON or its content type is not, ClientGoneError when the client disconnects.
        """
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
        """Send a whole JSON response."""
        await self.begin(status, [(b"content-length", b"%d" % len(body)), JSON_TYPE, VARY])
        await self.write(body, last=True)

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def cut(self) -> None:
        """Close the connection without another byte."""
        self._scope["extensions"][TRANSPORT]["abort"]()
