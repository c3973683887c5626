"""The Service and the EndpointSlice of an adapter."""

from controllers.modeladapter.plan import Wish
from controllers.modeladapter.services import endpoint_slice, service
from tests.support.adapters import a_pod, an_adapter, probes

A, B = (probe.host for probe in probes((a_pod("a"), ()), (a_pod("b"), ())).values())


def test_the_service_is_headless_and_the_adapters():
    made = service(an_adapter())

    assert ("lora", "default", "None") == (
        made["metadata"]["name"], made["metadata"]["namespace"], made["spec"]["clusterIP"],
    )  # fmt: skip
    assert made["spec"]["publishNotReadyAddresses"] is True and "selector" not in made["spec"]
    assert "base" == made["metadata"]["labels"]["model.aibrix.ai/name"]
    assert ["lora"] == [owner["uid"] for owner in made["metadata"]["ownerReferences"]]


def test_the_slice_has_the_pods_that_serve_it():
    made = endpoint_slice(an_adapter(), Wish((A, B), (B,), (A, B)))

    assert [[B.ip]] == [endpoint["addresses"] for endpoint in made["endpoints"]]
    assert ("IPv4", [8000]) == (made["addressType"], [port["port"] for port in made["ports"]])
    assert "lora" == made["metadata"]["labels"]["kubernetes.io/service-name"]


def test_a_slice_of_ipv6():
    made = endpoint_slice(an_adapter(), Wish((A,), (A,), (A._replace(ip="fd00::1"),)))

    assert ("IPv6", [["fd00::1"]]) == (made["addressType"], [endpoint["addresses"] for endpoint in made["endpoints"]])


def test_a_slice_has_the_port_of_its_engines_which_the_adapter_may_not_know():
    there = A._replace(port=9000)

    made = endpoint_slice(an_adapter(), Wish((there, B), (there, B), (there, B)))

    assert ([9000], [[A.ip]]) == (
        [port["port"] for port in made["ports"]], [endpoint["addresses"] for endpoint in made["endpoints"]],
    )  # fmt: skip
