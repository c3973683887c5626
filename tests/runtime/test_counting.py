import httpx
import pytest

from tests.support.sidecar import AWAY, a_runtime


async def counted(client: httpx.AsyncClient) -> list[str]:
    page = (await client.get("/metrics")).text
    return sorted(line for line in page.splitlines() if line.startswith("aibrix:api_request_total{"))


async def test_calls_are_counted_by_route_and_scrapes_are_not():
    async with a_runtime(AWAY) as client:
        for path in ("/healthz", "/healthz", "/ready", "/nowhere/at/all", "/metrics"):
            await client.get(path)

        assert [
            'aibrix:api_request_total{endpoint="/healthz",method="GET",status="200"} 2.0',
            'aibrix:api_request_total{endpoint="/ready",method="GET",status="503"} 1.0',
            'aibrix:api_request_total{endpoint="unknown",method="GET",status="404"} 1.0',
        ] == await counted(client)


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({"content-length": "99999999"}, 413, "the body is over 1048576 bytes"),
        ({"transfer-encoding": "chunked"}, 411, "the body must have a content-length"),
    ],
)
async def test_a_body_that_is_too_large_is_not_read(headers: dict[str, str], status: int, said: str):
    async with a_runtime(AWAY) as client:
        answer = await client.post("/v1/lora_adapter/load", headers=headers)

    assert (status, said) == (answer.status_code, answer.json()["message"])
