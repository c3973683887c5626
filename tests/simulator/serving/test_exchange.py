import pytest

from simulator.openai.errors import MediaTypeError
from simulator.serving.async_engine import ClientGoneError
from simulator.serving.exchange import TRANSPORT, Exchange


class Connection:
    """Both ends of one ASGI request."""

    def __init__(self, body=b"", headers=()):
        self.incoming = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]
        self.sent = []
        self.aborted = False
        scope = {"type": "http", "headers": headers, "extensions": {TRANSPORT: {"abort": self.abort}}}
        self.exchange = Exchange(scope, self.receive, self.send)

    async def receive(self):
        return self.incoming.pop(0)

    async def send(self, message):
        self.sent.append(message)

    def abort(self):
        self.aborted = True


JSON = [(b"content-type", b"Application/JSON; charset=utf-8")]


async def test_a_body_announced_as_json_is_read():
    assert {"a": 1} == await Connection(b'{"a":1}', JSON).exchange.json()


@pytest.mark.parametrize("headers", [[], [(b"content-type", b"text/plain")]])
async def test_a_body_not_announced_as_json_is_refused(headers):
    with pytest.raises(MediaTypeError):
        await Connection(b"{}", headers).exchange.json()


async def test_a_client_that_leaves_before_its_body_ends_is_gone():
    connection = Connection(b"", JSON)
    connection.incoming[0]["more_body"] = True

    with pytest.raises(ClientGoneError):
        await connection.exchange.json()


async def test_an_answer_is_whole_and_known_to_have_begun():
    connection = Connection()
    assert not connection.exchange.began

    await connection.exchange.answer(503, b"{}")

    start, body = connection.sent
    assert connection.exchange.began
    assert (503, b"2") == (start["status"], dict(start["headers"])[b"content-length"])
    assert (b"{}", False) == (body["body"], body["more_body"])


async def test_the_client_is_gone_only_when_the_connection_ends():
    connection = Connection()

    await connection.exchange.gone()

    assert [] == connection.incoming


async def test_a_cut_closes_the_connection_and_sends_nothing():
    connection = Connection()

    connection.exchange.cut()

    assert (True, []) == (connection.aborted, connection.sent)
