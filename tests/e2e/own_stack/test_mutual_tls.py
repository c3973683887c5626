"""Envoy and the gateways speak mutual TLS: certificates are renewed under load, and strangers fail."""

import ssl
import time
from pathlib import Path

import httpx
import pytest

from gateway.config.tls import GatewayTlsSettings
from tests.support.certificates import Authority, an_authority, mutual_tls, to_gateways
from tests.support.envoy import running_envoy
from tests.support.gateways import Gateways, running_gateways
from tests.support.outage import Load, ask, request, running_up
from tests.support.polling import until
from tests.support.ports import free_address

pytestmark = pytest.mark.e2e
SHORT = request("lgy", max_tokens=5)
STREAM = request("lgy", max_tokens=60, stream=True, stream_options={"include_usage": True})


def shown(address: str) -> str:
    """The certificate that any client gets there, in PEM."""
    host, _, port = address.rpartition(":")
    return ssl.get_server_certificate((host, int(port)))


def renew(authority: Authority) -> str:
    """Replace the gateways' certificate and key, one after the other; return the new certificate in PEM."""
    fresh = authority.sign("fresh")
    for new, name in ((fresh.cert, "gateway.crt"), (fresh.key, "gateway.key")):
        new.replace(authority.cert.with_name(name))
    return authority.cert.with_name("gateway.crt").read_text()


async def status_through(stack: Gateways, folder: Path, gateway_tls: dict[str, str]) -> int | None:
    """The status of a request through another Envoy, with this TLS to the gateways."""
    folder.mkdir()  # noqa: ASYNC240 - it is local
    here = {"listen": free_address(), "admin": free_address(), "gateway_tls": GatewayTlsSettings(**gateway_tls)}
    envoy = stack.settings.envoy.model_copy(update=here)
    async with running_envoy(stack.settings.model_copy(update={"envoy": envoy}), folder):
        return (await ask(int(envoy.listen.rpartition(":")[2]), SHORT)).status


@pytest.mark.parametrize("transport", ["http2", "grpc"])
async def test_certificates_are_renewed_under_load_and_every_request_is_served_and_charged(
    tmp_path: Path, transport: str
):
    authority = an_authority(tmp_path)
    patient = {"settle_grace_s": 10}  # a busy machine passes entries on late
    async with running_gateways(
        tmp_path, authority=authority, transport=transport, drain_s=20, limits=patient
    ) as stack:
        await stack.create("lgy", rpm=100_000)
        load = Load(stack.port, [SHORT] * 4 + [STREAM] * 4).start()
        await load.succeeds(time.monotonic(), 30)

        renewed = renew(authority)
        await until(lambda: shown(stack.settings.listen.grpc) == renewed)
        await load.succeeds(time.monotonic(), 30)
        await stack.rolls_under(load, "lgy")  # so that Envoy makes new connections


async def test_an_envoy_with_the_wrong_certificate_or_of_the_wrong_faith_reaches_no_gateway(tmp_path: Path):
    authority = an_authority(tmp_path)
    (tmp_path / "other").mkdir()
    other = an_authority(tmp_path / "other")
    right = to_gateways(authority)
    stranger = to_gateways(other)
    async with running_gateways(tmp_path, authority=authority) as stack:
        await stack.create("lgy", rpm=100_000)
        wrong = {
            "certificate": {**stranger, "ca": right["ca"]},
            "no certificate": {**right, "cert": "", "key": ""},
            "authority": {**right, "ca": stranger["ca"]},
            "name": {**right, "name": "other.test"},
            "no TLS": {},
        }
        statuses = {why: await status_through(stack, tmp_path / why, tls) for why, tls in wrong.items()}
        through = await status_through(stack, tmp_path / "right", right)
        assert 200 == (await ask(stack.port, SHORT)).status
        for gateway in stack.gateways:
            await gateway.end()
        said = [line for gateway in stack.gateways for line in gateway.program.lines]

    assert dict.fromkeys(wrong, 503) == statuses
    assert 200 == through
    refusals = [line for line in said if "connection_refused" in line]
    for why in ("peer did not return a certificate", "unable to get local issuer", "unknown ca", "speaks no TLS"):
        assert any(why in line for line in refusals), why
    assert 4 * 5 >= len(refusals)  # each worker once for each reason, however often Envoy tried
    assert not any("Traceback" in line for line in said)


async def test_forebay_up_has_tls_everywhere(tmp_path: Path):
    authority = an_authority(tmp_path)
    listen = {**mutual_tls(authority), "addresses": ["grpc", "http", "admin"]}
    config = f"listen: {{tls: {listen}}}\nenvoy: {{gateway_tls: {to_gateways(authority)}}}\n"
    async with running_up(tmp_path / "up", "--workers", "2", "--engines", "1", config=config) as stack:
        admin, pages = stack.env["ADMIN"], stack.env["HTTP"]
        trusting = ssl.create_default_context(cafile=str(authority.cert))
        async with httpx.AsyncClient(verify=trusting, trust_env=False) as client:
            (await client.post(f"{admin}/CreateUser", json={"name": "lgy"})).raise_for_status()
            assert 200 == (await ask(stack.port, SHORT)).status
            assert 200 == (await client.get(f"{pages}/readyz")).status_code
            elsewhere = (await client.get(pages, headers={"accept": "application/json"})).json()["elsewhere"]
            assert admin in elsewhere
            with pytest.raises(httpx.HTTPError):
                await client.get(admin.replace("https:", "http:"))
