"""An API server is known as its cluster says; anything less than its certificate is nobody."""

import json

import pytest

from controllers.metricsapi.front_proxy import FrontProxy, front_proxy
from tests.support.kubernetes.conversation import Request, answer
from tests.support.kubernetes.script import talking

ASKED = Request("GET", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")


def a_certificate(name: str) -> dict[str, object]:
    return {"subject": ((("organizationName", "front-proxy"),), (("commonName", name),))}


@pytest.mark.parametrize(
    ("names", "certificate", "is_known"),
    [
        ({"front-proxy"}, a_certificate("front-proxy"), True),
        ({"front-proxy"}, a_certificate("other"), False),
        (set(), a_certificate("other"), True),
        ({"front-proxy"}, None, False),
        (set(), None, False),
        (set(), {}, False),
    ],
)
def test_a_front_proxy_has_a_certificate_with_an_allowed_name(
    names: set[str], certificate: dict[str, object] | None, is_known: bool
):
    assert is_known is FrontProxy("", frozenset(names)).knows(certificate)


async def test_the_cluster_says_how_its_api_server_is_known():
    data = {"requestheader-client-ca-file": "PEM", "requestheader-allowed-names": '["a","b"]'}
    async with talking([(ASKED, answer(json.dumps({"data": data})))]) as (client, _):
        assert FrontProxy("PEM", frozenset("ab")) == await front_proxy(client)


@pytest.mark.parametrize("data", [{}, {"requestheader-client-ca-file": ""}, {"client-ca-file": "PEM"}])
async def test_without_an_aggregation_layer_nobody_is_known(data: dict[str, str]):
    async with talking([(ASKED, answer(json.dumps({"data": data})))]) as (client, _):
        with pytest.raises(ValueError, match="no aggregation layer"):
            await front_proxy(client)
