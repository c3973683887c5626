"""The reply to an admitted request: what Envoy and the client are told of it."""

import pytest

from gateway.config.kubernetes import KubernetesSettings
from gateway.config.settings import RoutingSettings, Settings
from gateway.extproc import wire
from gateway.extproc.commands import HeadersReply, Mutation, Side
from gateway.extproc.events import Refused
from gateway.openai.operations import Operation
from ratelimit.limits import User
from tests.support.pods import MODEL
from tests.support.shop import Shop, routed


async def test_the_destination_is_the_same_in_header_and_metadata_with_two_fallbacks():
    outcome = routed(await Shop().admit())
    destination = outcome.request_headers["x-gateway-destination-endpoint"]
    assert destination == outcome.metadata["envoy.lb"]["x-gateway-destination-endpoint"]
    assert 3 == len(set(destination.split(",")))
    assert {"a", "b", "c"} == set(outcome.pods.values())


async def test_what_a_request_carries_to_its_end_is_seen_by_no_client_and_no_engine():
    outcome = routed(await Shop(users={"lgy": User("lgy")}).admit(user="lgy"))
    carried = outcome.metadata["forebay"]
    assert {"exchange", "reserved"} == carried.keys()
    assert carried["reserved"].endswith(" lgy")
    shown = {**outcome.request_headers, **outcome.response_headers}
    assert not [name for name, value in shown.items() if carried["reserved"] in value or name in carried]


async def test_the_client_is_told_pod_strategy_decision_and_ids():
    outcome = routed(await Shop().admit(x_request_id="r1", x_session_id="s\x01"))
    shown = outcome.response_headers
    assert {"x-request-id": "r1", "request-id": "r1", "routing-strategy": "forebay"}.items() <= shown.items()
    assert shown["target-pod"] in outcome.pods.values()
    assert outcome.pods[shown["target-pod-ip"]] == shown["target-pod"]
    assert "0 in flight" in shown["x-forebay-decision"]
    assert shown["x-session-id"].isprintable()


@pytest.mark.parametrize("strategy", ["session-affinity", "session-affinity:2,random"])
@pytest.mark.parametrize("sent", ["", "s" * 257], ids=len)
async def test_a_request_without_a_session_gets_one_with_which_the_next_goes_to_the_same_pod(strategy: str, sent: str):
    shop = Shop()
    first = routed(await shop.admit(routing_strategy=strategy, x_session_id=sent)).response_headers
    assert 32 == len(first["x-session-id"])

    later = [
        routed(await shop.admit(routing_strategy="session-affinity", x_session_id=first["x-session-id"]))
        for _ in range(9)
    ]

    assert {first["x-session-id"]} == {one.response_headers["x-session-id"] for one in later}
    if "," not in strategy:
        assert {first["target-pod"]} == {one.response_headers["target-pod"] for one in later}


async def test_other_strategies_make_no_session():
    assert "x-session-id" not in routed(await Shop().admit()).response_headers


async def test_the_address_of_the_pod_can_be_kept_from_the_client():
    outcome = routed(await Shop(Settings(hide_pod_address=True)).admit())
    assert "target-pod-ip" not in outcome.response_headers


async def test_where_others_describe_endpoints_envoy_is_told_the_names_of_the_pods():
    outcome = routed(await Shop(Settings(kubernetes=KubernetesSettings(enabled=True))).admit())
    assert outcome.pods == outcome.metadata["forebay.pods"]
    assert "forebay.pods" not in routed(await Shop().admit()).metadata


async def test_a_request_id_that_is_too_long_is_cut_for_client_and_engine():
    outcome = routed(await Shop().admit(x_request_id="r" * 50_000))
    assert {"r" * 256} == {outcome.response_headers["x-request-id"], outcome.request_headers["x-request-id"]}
    assert "x-request-id" not in routed(await Shop().admit(x_request_id="r" * 256)).request_headers


async def test_no_value_that_a_client_chose_is_kept_in_its_length():
    long = "x" * 50_000
    shop = Shop(users={"lgy": User("lgy", 10_000, 10_000_000)})
    before = wire._cached_option.cache_info().currsize
    for number in range(50):
        outcome = await shop.admit(
            user="lgy",
            x_request_id=f"{number}{long}",
            x_session_id=f"{number}{long}",
            routing_strategy="session-affinity",
        )
        wire.encode(HeadersReply(Side.RESPONSE, Mutation({"x-long": f"{number}{long}"})))
        for refused_one in (
            await shop.admit(user=f"{number}{long}"),
            await shop.admit({"model": f"{number}{long}"}, user="lgy"),
            await shop.admit(user="lgy", external_filter=f"a={number}{long}"),
        ):
            assert isinstance(refused_one, Refused)
            assert len(refused_one.error.message) < 1000
        assert len(str(routed(outcome))) < 10_000

    assert before == wire._cached_option.cache_info().currsize
    assert len(str(shop.fleet.decisions.page())) < 100_000
    assert ["lgy"] == list(shop.admission._existing)


RETRY = {
    "x-envoy-retry-on": "retriable-status-codes",
    "x-envoy-retriable-status-codes": "404",
    "x-envoy-max-retries": "2",
}


@pytest.mark.parametrize("operation", [Operation.GET_RESPONSE, Operation.DELETE_RESPONSE, Operation.RESPONSES])
async def test_for_an_earlier_answer_all_pods_are_named_and_asked_while_they_answer_404(operation):
    shop = Shop(Settings(routing=RoutingSettings(fallbacks=0)))

    outcome = routed(
        await shop.admit({"model": MODEL, "input": "hi", "previous_response_id": "r"}, operation=operation)
    )

    assert outcome.request_headers.items() >= RETRY.items()
    assert 3 == len(set(outcome.request_headers["x-gateway-destination-endpoint"].split(",")))
    assert not RETRY.keys() & outcome.metadata["envoy.lb"].keys()


async def test_other_requests_are_not_sent_again_for_a_404():
    outcome = routed(await Shop().admit({"model": MODEL, "input": "hi"}, operation=Operation.RESPONSES))
    assert not RETRY.keys() & outcome.request_headers.keys()


async def test_with_one_pod_there_is_nobody_else_to_ask():
    shop = Shop()
    for pod in "bc":
        shop.fleet.set_draining(pod, True)
    outcome = routed(await shop.admit(operation=Operation.GET_RESPONSE))
    assert not RETRY.keys() & outcome.request_headers.keys()
