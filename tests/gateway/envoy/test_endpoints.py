"""Engines as Envoy endpoints, and the file that Envoy watches."""

from pathlib import Path

import httpx
import orjson

from gateway.discovery.description import FleetDescription
from gateway.discovery.models import describe
from gateway.envoy.endpoints import load_assignment, render_eds, write_eds
from routing.types import Endpoint
from tests.support.backend import Exchange, running_backend
from tests.support.envoy import a_model, running_envoy, settings_for
from tests.support.pods import a_description, an_endpoint
from tests.support.polling import until
from tests.support.processor import Answer, Processor, running


def endpoints_of(fleet: FleetDescription) -> list[dict[str, dict[str, dict[str, dict[str, object]]]]]:
    return [endpoint for group in load_assignment(fleet)["endpoints"] for endpoint in group["lb_endpoints"]]


def test_an_endpoint_carries_its_pods_name_and_every_model_it_serves():
    lora = Endpoint("ns/pod-a", "pod-a", "10.0.0.1:8000", ("base", "sql", "chat"))

    [endpoint] = endpoints_of(a_description(lora))

    metadata = endpoint["metadata"]["filter_metadata"]
    assert metadata["forebay"] == {"pod": "pod-a"}
    [pooled] = endpoints_of(a_description(an_endpoint("b", pool="cloud")))
    assert pooled["metadata"]["filter_metadata"]["forebay"] == {"pod": "b", "pool": "cloud"}
    assert metadata["envoy.lb"] == {"model": ["base", "chat", "sql"]}
    assert endpoint["endpoint"]["address"]["socket_address"] == {"address": "10.0.0.1", "port_value": 8000}


def test_an_address_under_two_models_of_the_configuration_is_one_endpoint_of_both():
    fleet = describe((a_model("m", {"pod": "10.0.0.1:8000"}), a_model("n", {"pod": "10.0.0.1:8000"})))

    [endpoint] = endpoints_of(fleet)

    assert endpoint["metadata"]["filter_metadata"]["envoy.lb"]["model"] == ["m", "n"]


def test_an_empty_fleet_is_an_empty_assignment():
    assert load_assignment(FleetDescription())["endpoints"] == []


def test_the_file_is_written_once_per_change(tmp_path: Path):
    file = tmp_path / "eds" / "engines.json"
    fleet, empty = a_description(an_endpoint("pod")), a_description()

    assert [write_eds(file, fleet), write_eds(file, fleet), write_eds(file, empty)] == [True, False, True]
    assert [file] == list(file.parent.iterdir())
    assert orjson.loads(render_eds(empty)) == orjson.loads(file.read_bytes())


async def test_envoy_takes_a_rewritten_file_without_a_restart(tmp_path: Path):
    eds = tmp_path / "engines.json"
    write_eds(eds, a_description())
    async with (
        running_backend(hello) as engine,
        running(Processor(lambda seen: Answer(engine.address, "m"))) as gateway,
    ):
        settings = settings_for([gateway.address], {}, envoy={"eds_file": str(eds)})
        async with running_envoy(settings, tmp_path) as url, httpx.AsyncClient(trust_env=False) as client:
            assert (await client.post(url)).status_code == 503

            write_eds(eds, a_description(an_endpoint("pod", address=engine.address)))

            async def served() -> bool:
                return (await client.post(url)).status_code == 200

            await until(served)


async def hello(exchange: Exchange) -> None:
    await exchange.reply(b"{}")
