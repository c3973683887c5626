"""The way of requests to a rendered server: by its host, as the article's curl asks, and by its model."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.rendered import named, rendered

Problems = Callable[[dict[str, Any]], list[str]]


def test_the_articles_host_leads_to_the_servers_service():
    objects = named(rendered())
    route, grant = objects["HTTPRoute", "qwen-chat-host"], objects["ReferenceGrant", "qwen-chat-routes"]

    assert ["qwen-chat-default.example.com"] == route["spec"]["hostnames"]
    assert [{"name": "qwen-chat-predictor", "namespace": "default", "port": 80}] == route["spec"]["rules"][0][
        "backendRefs"
    ]
    assert ("aibrix-system", "default") == (route["metadata"]["namespace"], grant["metadata"]["namespace"])
    assert "qwen-chat-predictor" == grant["spec"]["to"][0]["name"]


def test_a_model_of_kserve_has_its_route_here_because_its_service_has_another_port():
    kserve, deployment = named(rendered()), named(rendered(engine="deployment"))

    [match] = kserve["HTTPRoute", "qwen-router"]["spec"]["rules"][0]["matches"]

    assert [{"type": "Exact", "name": "model", "value": "qwen"}] == match["headers"]
    assert ("HTTPRoute", "qwen-router") not in deployment
    assert 8080 == deployment["HTTPRoute", "qwen-chat-host"]["spec"]["rules"][0]["backendRefs"][0]["port"]


@pytest.mark.parametrize("engine", ["kserve", "deployment"])
def test_the_gateway_api_takes_them(problems_of: Problems, engine: str):
    objects = [one for one in rendered(engine=engine) if one["kind"] in {"HTTPRoute", "ReferenceGrant"}]

    assert [[]] * len(objects) == [problems_of(one) for one in objects]
