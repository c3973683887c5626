"""What Envoy and the client are told about an admitted request."""

from gateway.config.settings import Settings
from tests.support.shop import Shop, routed


async def test_the_destination_is_the_same_in_header_and_metadata_with_two_fallbacks():
    outcome = routed(await Shop().admit())
    destination = outcome.request_headers["x-gateway-destination-endpoint"]
    assert destination == outcome.metadata["envoy.lb"]["x-gateway-destination-endpoint"]
    assert 3 == len(set(destination.split(",")))
    assert {"a", "b", "c"} == set(outcome.pods.values())


async def test_the_client_is_told_pod_strategy_decision_and_ids():
    outcome = routed(await Shop().admit(x_request_id="r1", x_session_id="s\x01"))
    shown = outcome.response_headers
    assert {"x-request-id": "r1", "request-id": "r1", "routing-strategy": "forebay"}.items() <= shown.items()
    assert shown["target-pod"] in outcome.pods.values()
    assert outcome.pods[shown["target-pod-ip"]] == shown["target-pod"]
    assert "0 in flight" in shown["x-forebay-decision"]
    assert shown["x-session-id"].isprintable()


async def test_the_address_of_the_pod_can_be_kept_from_the_client():
    outcome = routed(await Shop(Settings(hide_pod_address=True)).admit())
    assert "target-pod-ip" not in outcome.response_headers
