"""Headers in both directions through a real Envoy."""

from pathlib import Path
from uuid import uuid4

from tests.support.backend import Exchange, running_backend
from tests.support.envoy import stack
from tests.support.processor import Answer, Processor

OURS = {
    "routing-strategy": "least-request",
    "x-forebay-decision": "2 in flight",
    "x-ratelimit-remaining-requests": "41",
    "ratelimit": '"requests";r=41;t=7',
    "x-update-rpm": "3",
}


async def impostor(exchange: Exchange) -> None:
    """An engine that speaks in the gateway's name."""
    await exchange.reply(
        b"{}", x_forebay_decision="mine", x_forebay_other="1", target_pod="me", target_pod_secret="x",
        x_gateway_destination_endpoint="1.2.3.4:5", x_engine="kept", server="engine", x_request_id="other",
    )  # fmt: skip


async def test_clients_and_engines_cannot_speak_in_the_gateways_name(tmp_path: Path):
    forged = {
        "target-pod": "x",
        "x-gateway-destination-endpoint": "127.0.0.1:1",
        "x-forebay-user": "root",
        "x-envoy-max-retries": "9",
        "x-envoy-upstream-rq-timeout-ms": "1",
    }
    async with running_backend(impostor) as engine:
        gateway = Processor(lambda seen: Answer(engine.address, "m", {"forebay.response": OURS}))
        async with stack(tmp_path, [gateway], {"m": {"pod-a": engine.address}}) as client:
            answer = await client.post("/v1/chat/completions", headers={**forged, "user": "lgy"})

    assert not forged.keys() & gateway.seen[0].headers.keys()
    assert gateway.seen[0].headers["user"] == "lgy"
    assert not any(name in engine.requests[0].head for name in ("target-pod", "destination-endpoint", "x-forebay"))
    assert {name: answer.headers[name] for name in OURS} == OURS
    assert answer.headers["target-pod"] == "pod-a"
    assert engine.address == answer.headers["target-pod-ip"]
    assert not {"x-forebay-other", "target-pod-secret", "x-gateway-destination-endpoint"} & answer.headers.keys()
    assert (answer.headers["x-engine"], answer.headers["server"]) == ("kept", "engine")


async def test_what_the_gateway_does_not_say_adds_no_header(tmp_path: Path):
    async with running_backend(impostor) as engine:
        gateway = Processor(lambda seen: Answer(engine.address, "m"))
        models = {"m": {"pod-a": engine.address}}
        async with stack(tmp_path, [gateway], models, hide_pod_address=True) as client:
            answer = await client.post("/v1/chat/completions")

    assert not {*OURS, "target-pod-ip"} & answer.headers.keys()


async def test_the_request_id_is_the_clients_or_made_up_and_the_engine_gets_it_too(tmp_path: Path):
    async with running_backend(impostor) as engine:
        gateway = Processor(lambda seen: Answer(engine.address, "m"))
        async with stack(tmp_path, [gateway], {"m": {"pod-a": engine.address}}) as client:
            for mine in ("abc", str(uuid4())):
                answer = await client.post("/v1/chat/completions", headers={"x-request-id": mine})

                assert mine == answer.headers["x-request-id"] == answer.headers["request-id"]
                assert f"x-request-id: {mine}\r\n" in engine.requests[-1].head
            made_up = (await client.post("/v1/chat/completions")).headers["x-request-id"]

    assert made_up == gateway.seen[-1].headers["x-request-id"]
