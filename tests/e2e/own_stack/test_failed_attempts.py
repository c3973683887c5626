"""One Envoy in front of several gateways: a failed attempt is told to one worker, and all of them set the pod aside."""

from pathlib import Path

import httpx
import pytest

from tests.support.gateways import WORKERS, Gateways, running_gateways
from tests.support.outage import ask, request
from tests.support.polling import until

pytestmark = pytest.mark.e2e


async def aside(stack: Gateways) -> dict[str, bool]:
    """For each worker whether it knows that the first pod fails, and so sets it aside.

    The workers of a gateway share its address, and any of them takes a new connection: it is asked several times.
    """
    said = {}
    for address in stack.https * (4 * WORKERS):
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as one_connection:
            name = (await one_connection.get("/debug/replicas")).json()["replica"]
            pods = {pod["pod"]: pod for pod in (await one_connection.get("/debug/fleet")).json()}
            said[name] = pods["pod-0"]["failures"] > 0
    return said


async def test_a_failed_attempt_that_one_worker_hears_of_sets_the_pod_aside_at_all(tmp_path: Path):
    unchecked = {"interval_s": 3600}  # only requests find out
    async with running_gateways(
        tmp_path, health=unchecked, scrape={"interval_s": 3600, "stale_after_s": 7200}
    ) as stack:
        await stack.create("lgy")
        assert not any((await aside(stack)).values())
        await stack.engines[0].end()

        assert {200} == {(await ask(stack.port, request("lgy", max_tokens=2))).status for _ in range(8)}

        async def all_know() -> bool:
            said = await aside(stack)
            return len(said) == 2 * WORKERS and all(said.values())

        await until(all_know)
