"""Pages are asked for over HTTP and HTTPS; what goes wrong is a sentence, and takes neither long nor much memory."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autoscaling.spec import Source, SourceKind
from controllers.podautoscaler.sources import pages as module
from controllers.podautoscaler.sources.pages import MOST_BYTES, Pages, SourceError, url
from tests.support.certificates import a_certificate
from tests.support.metrics_pages import MetricsPages, metrics_pages
from tests.support.ports import free_address


@pytest.fixture
async def server() -> AsyncIterator[MetricsPages]:
    async with metrics_pages() as running:
        yield running


@pytest.fixture
async def pages() -> AsyncIterator[Pages]:
    async with Pages() as made:
        yield made


def a_source(path: str = "/metrics", protocol: str = "http", port: str = "") -> Source:
    return Source(SourceKind.POD, "m", 1.0, protocol=protocol, path=path, port=port)


@pytest.mark.parametrize(
    ("source", "host", "port", "expected"),
    [
        (a_source(), "10.1.2.3", "8000", "http://10.1.2.3:8000/metrics"),
        (a_source("metrics"), "10.1.2.3", "8000", "http://10.1.2.3:8000/metrics"),
        (a_source(protocol="https"), "fd00::1", "8443", "https://[fd00::1]:8443/metrics"),
        (a_source("/metrics/default/d"), "optimizer.ns.svc:8080", "", "http://optimizer.ns.svc:8080/metrics/default/d"),
        (a_source("/m?raw=1"), "[fd00::1]:80", "", "http://[fd00::1]:80/m?raw=1"),
    ],
)
def test_a_url_is_made_of_protocol_host_port_and_path(source: Source, host: str, port: str, expected: str):
    assert expected == url(source, host, port)


async def test_a_page_is_read_at_its_path(server: MetricsPages, pages: Pages):
    server.show("m 3\n", "/metrics/default/d")

    assert 3 == (await pages.of_server(f"http://127.0.0.1:{server.port}/metrics/default/d")).value("m")
    assert 3 == (await pages.of_pod(f"http://127.0.0.1:{server.port}/metrics/default/d")).value("m")


@pytest.mark.parametrize(
    ("status", "page", "said"),
    [
        (404, "m 3\n", "answered 404 Not Found"),
        (500, "m 3\n", "answered 500"),
        (302, "m 3\n", "answered 302"),
        (200, "<html>m 3</html>", "the page is HTML, not metrics"),
        (200, '{"m": 3}', "the page is not of metrics"),
        (200, b"#" * (MOST_BYTES + 1), f"the page has more than {MOST_BYTES} bytes"),
    ],
)
async def test_an_answer_that_is_no_page_of_metrics_is_a_sentence(
    server: MetricsPages, pages: Pages, status: int, page: str | bytes, said: str
):
    server.show(page, status=status)

    with pytest.raises(SourceError) as failed:
        await pages.of_server(f"http://127.0.0.1:{server.port}/metrics")

    assert str(failed.value).startswith(f"http://127.0.0.1:{server.port}/metrics: {said}")


async def test_a_page_that_does_not_come_is_given_up(
    server: MetricsPages, pages: Pages, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "ANSWER_S", 0.2)
    server.show(None)

    with pytest.raises(SourceError, match=r"no answer in 0\.2 s"):
        await pages.of_pod(f"http://127.0.0.1:{server.port}/metrics")


@pytest.mark.parametrize(
    "address", ["http://{free}/metrics", "http://no-such-host.invalid/", "http://[::x]/", "http://h:99999/"]
)
async def test_a_server_that_is_not_there_is_a_sentence(pages: Pages, address: str):
    address = address.format(free=free_address())

    with pytest.raises(SourceError) as failed:
        await pages.of_server(address)

    assert len(str(failed.value)) > len(f"{address}: ")


async def test_the_certificate_of_a_pod_is_not_checked_but_that_of_a_server_is(pages: Pages, tmp_path: Path):
    cert, key = a_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with metrics_pages(context) as server:
        server.show("m 3\n")
        address = f"https://127.0.0.1:{server.port}/metrics"

        assert 3 == (await pages.of_pod(address)).value("m")
        with pytest.raises(SourceError, match="certificate"):
            await pages.of_server(address)
