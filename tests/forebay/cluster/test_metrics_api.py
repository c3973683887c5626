"""The metrics APIs are served in TLS to a front proxy and nobody else; what is missing for it is awaited and said."""

import asyncio
import json
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from structlog.testing import capture_logs

from controllers.metricsapi.answers import API_SERVICES
from controllers.metricsapi.certificate import Pair, Place, make
from forebay.cluster import metrics_api
from forebay.cluster.metrics_api import MetricsApiServer
from kube.client import Client
from tests.support.certificates import Authority, an_authority
from tests.support.kubernetes.conversation import Exchange, Request, answer
from tests.support.kubernetes.script import talking
from tests.support.polling import until
from tests.support.ports import free_address

PLACE = Place("home", "metrics", "metrics-tls")
NAME = "metrics.home.svc"
MISSING = answer('{"code": 404, "reason": "NotFound", "message": "there is none"}', status=404)
APP = Starlette(routes=[Route("/", lambda _request: PlainTextResponse("a value"))])


def a_look(pair: Pair, authority: Authority | None) -> list[Exchange]:
    """All that is asked before anything is served."""
    secret = {"tls.crt": b64encode(pair.certificate).decode(), "tls.key": b64encode(pair.key).decode()}
    known = {"requestheader-allowed-names": '["front-proxy"]'}
    if authority:
        known["requestheader-client-ca-file"] = authority.cert.read_text()
    config_map = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    services = "/apis/apiregistration.k8s.io/v1/apiservices"
    return [
        (Request("GET", "/api/v1/namespaces/home/secrets/metrics-tls"), answer(json.dumps({"data": secret}))),
        (Request("GET", config_map), answer(json.dumps({"data": known}))),
        *((Request("GET", f"{services}/{name}"), MISSING) for name in API_SERVICES),
    ]


@asynccontextmanager
async def serving(client: Client) -> AsyncIterator[str]:
    address = free_address()
    server = MetricsApiServer(client, APP, address, PLACE, time.time)
    task = asyncio.create_task(server.run())
    try:
        yield address
    finally:
        task.cancel()
        await asyncio.wait((task,))
    assert task.cancelled()


async def get(address: str, pair: Pair, folder: Path, mine: tuple[Path, Path] | None) -> str:
    """Ask as an API server does, which trusts the certificate alone; raises httpx.HTTPError."""
    (folder / "trusted").write_bytes(pair.certificate)
    context = ssl.create_default_context(cafile=folder / "trusted")
    if mine:
        context.load_cert_chain(*mine)
    extensions = {"sni_hostname": NAME}
    async with httpx.AsyncClient(verify=context, trust_env=False) as http:
        return (await http.get(f"https://{address}/", extensions=extensions)).text


async def test_a_front_proxy_is_answered_and_nobody_else(tmp_path: Path):
    pair, authority = make((NAME,), time.time()), an_authority(tmp_path)
    other = an_authority(tmp_path, "other")
    async with talking(a_look(pair, authority)) as (client, double), serving(client) as address:

        async def is_answered() -> bool:
            try:
                return "a value" == await get(address, pair, tmp_path, authority.sign("front-proxy"))
            except httpx.HTTPError:
                return False

        await until(is_answered)
        for mine in (None, other.sign("front-proxy"), authority.sign("somebody")):
            with pytest.raises(httpx.HTTPError):
                await get(address, pair, tmp_path, mine)
        assert [] == double.unsaid


async def test_what_is_missing_is_said_once_and_awaited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics_api, "RETRY_S", 0.01)
    pair, authority = make((NAME,), time.time()), an_authority(tmp_path)
    exchanges = [exchange for _ in range(3) for exchange in a_look(pair, None)[:2]] + a_look(pair, authority)
    with capture_logs() as logs:
        async with talking(exchanges) as (client, _), serving(client):
            await until(lambda: any(line["event"] == "metrics_api_serves" for line in logs))

    [waits] = [line for line in logs if line["event"] == "metrics_api_waits"]
    assert "no requestheader-client-ca-file" in waits["why"]
