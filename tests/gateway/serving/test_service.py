"""The gRPC services, whichever transport carries them."""

import pytest

from gateway.pb import access_log_service_pb2 as als
from gateway.pb import health_pb2 as health
from gateway.serving.ext_proc_stream import ProtocolError
from ratelimit.limits import User
from tests.support.access_log import put
from tests.support.shop import Shop, a_service


async def test_an_entry_settles_the_exchange_it_names():
    shop = Shop(users={"lgy": User("lgy")})
    await shop.admit(user="lgy")
    message = als.StreamAccessLogsMessage()
    entry = message.http_logs.log_entry.add()
    entry.response.response_code.value = 200
    put(entry, "forebay", exchange=shop.last_id)
    put(entry, "usage", prompt_tokens=3, completion_tokens=4)

    a_service(shop).settle_access_log(message.SerializeToString())

    assert 0 == len(shop.ledger)
    assert 4 == shop.sample('forebay_tokens_total{kind="output",model="m"}')


async def test_a_failed_attempt_ejects_the_engine_while_its_request_runs_elsewhere():
    shop = Shop(users={"lgy": User("lgy")})
    await shop.admit(user="lgy")
    pod = next(shop.fleet.pods())
    message = als.StreamAccessLogsMessage()
    common = message.http_logs.log_entry.add().common_properties
    host, _, port = pod.endpoint.address.rpartition(":")
    common.upstream_remote_address.socket_address.address = host
    common.upstream_remote_address.socket_address.port_value = int(port)
    common.response_flags.upstream_connection_failure = True

    a_service(shop).settle_access_log(message.SerializeToString())

    assert (1, 1) == (pod.failures, len(shop.ledger))


def test_bytes_that_are_no_batch_are_a_protocol_error():
    with pytest.raises(ProtocolError):
        a_service(Shop()).settle_access_log(b"\xff\xff\xff")


@pytest.mark.parametrize(("ready", "status"), [(True, "SERVING"), (False, "NOT_SERVING")])
async def test_health_is_readiness(ready: bool, status: str):
    service = a_service(Shop(), ready=ready)
    expected = health.HealthCheckResponse.ServingStatus.Value(status)
    assert expected == health.HealthCheckResponse.FromString(service.health()).status
    async for first in service.health_changes(b""):
        assert expected == health.HealthCheckResponse.FromString(first).status
        break


def test_every_stream_has_a_new_exchange():
    service = a_service(Shop())
    assert service.ext_proc_stream() is not service.ext_proc_stream()
