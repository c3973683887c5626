"""Users who speak TLS to Envoy."""

import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.certificates import a_certificate
from tests.support.stack import Stack, running_stack

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="makes the certificate")


@pytest.fixture(scope="module")
def tls_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Path]]:
    data = tmp_path_factory.mktemp("tls")
    cert, key = a_certificate(data)
    config = f"envoy: {{tls: {{cert: {cert.name}, key: {key.name}}}}}"
    with running_stack(data, config=config, engines=1) as stack:
        yield stack, cert


def shaken(stack: Stack, context: ssl.SSLContext) -> tuple[str | None, str | None]:
    """The protocol and the version that a handshake agrees on."""
    host, _, port = stack.variables["GATEWAY"].removeprefix("https://").rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname=host) as secure,
    ):
        return secure.selected_alpn_protocol(), secure.version()


def test_a_request_and_a_stream_pass_and_plain_http_does_not(tls_stack: tuple[Stack, Path]):
    stack, cert = tls_stack
    assert stack.variables["GATEWAY"].startswith("https://127.0.0.1:")
    user = stack.user()

    with httpx.Client(verify=ssl.create_default_context(cafile=str(cert)), trust_env=False) as client:
        url = f"{stack.variables['GATEWAY']}/v1/chat/completions"
        answers = [
            client.post(url, json=stack.body(stream=stream, max_tokens=3), headers={"user": user})
            for stream in (False, True)
        ]
    with pytest.raises(httpx.HTTPError):
        httpx.get(url.replace("https:", "http:"), trust_env=False)

    assert [200, 200] == [answer.status_code for answer in answers]
    assert "data: [DONE]" in answers[1].text


@pytest.mark.parametrize("page", ["ADMIN", "HTTP"])
def test_the_index_pages_send_users_to_https(tls_stack: tuple[Stack, Path], page: str):
    stack, _ = tls_stack

    index = httpx.get(stack.variables[page], headers={"accept": "application/json"}, trust_env=False).json()

    assert "requests of users, through Envoy" == index["elsewhere"][stack.variables["GATEWAY"]]


def test_http_2_is_agreed_on_and_old_tls_is_not(tls_stack: tuple[Stack, Path]):
    stack, cert = tls_stack
    context = ssl.create_default_context(cafile=str(cert))
    context.set_alpn_protocols(["h2", "http/1.1"])
    old = ssl.create_default_context(cafile=str(cert))
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning):
        old.maximum_version = ssl.TLSVersion.TLSv1_1

    assert ("h2", "TLSv1.3") == shaken(stack, context)
    with pytest.raises(ssl.SSLError):
        shaken(stack, old)
