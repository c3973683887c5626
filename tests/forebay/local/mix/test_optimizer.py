import pytest

from forebay.local.mix.gpu_types import GpuType
from forebay.local.mix.optimizer import NotToldError, published_replicas
from tests.support.ports import free_address
from tests.support.publishing import Publisher

L20 = GpuType("L20")


@pytest.mark.parametrize(("value", "replicas"), [(0, 0), (100, 1), (101, 2), (399.99999, 4), (400, 4)])
async def test_a_hundred_is_a_replica_and_part_of_one_is_one(value: float, replicas: int):
    page = f'# HELP x\nvllm:deployment_replicas{{model_name="a b"}} {value}\n'
    publisher = Publisher(replicas={"l20": 1}, body=page.encode())
    async with publisher.serving():
        assert replicas == await published_replicas(publisher.address, L20)


@pytest.mark.parametrize("page", [b"", b"vllm:deployment_replicas nan\n", b"vllm:deployment_replicas x\n"])
async def test_a_page_without_a_number_says_nothing(page: bytes):
    publisher = Publisher(replicas={"l20": 1}, body=page)
    async with publisher.serving():
        with pytest.raises(NotToldError):
            await published_replicas(publisher.address, L20)


async def test_an_unknown_deployment_and_an_optimizer_that_is_away_say_nothing():
    publisher = Publisher()
    async with publisher.serving():
        with pytest.raises(NotToldError, match="no plan for l20 yet: status 404"):
            await published_replicas(publisher.address, L20)
    with pytest.raises(NotToldError, match="does not answer"):
        await published_replicas(free_address(), L20)
