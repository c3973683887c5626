"""An ext_proc client sees the same on every transport: a worker process, real gRPC, real Redis."""

import threading
from collections.abc import Iterator

import grpc
import httpx
import orjson
import pytest

from gateway.pb import access_log_service_pb2 as als
from gateway.pb import ext_proc_pb2 as pb
from gateway.pb import health_pb2 as health
from tests.support.access_log import put
from tests.support.certificates import Authority, an_authority, mutual_tls
from tests.support.player import BUFFERED, CHAT, FULL_DUPLEX, Player, metadata_of, mutation_of, set_headers
from tests.support.redis import redis_server
from tests.support.running_worker import RunningWorker, running_worker
from tests.support.waiting import until

MODELS = [
    {
        "name": "m",
        "endpoints": [
            {"address": f"127.0.0.1:{port}", "name": name} for port, name in ((9, "a"), (10, "b"), (11, "c"))
        ],
    },
    {"name": "empty"},
]
SETTINGS = {
    "models": MODELS,
    "health": {"interval_s": 3600},
    "limits": {"settle_grace_s": 0.4},
    "body_limit_bytes": 2_000_000,
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return an_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module", params=["http2", "grpc", "http2-tls", "grpc-tls"])
def worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    transport, _, tls = request.param.partition("-")
    files = mutual_tls(request.getfixturevalue("authority")) if tls else None
    directory = tmp_path_factory.mktemp(request.param)
    with (
        redis_server() as redis,
        running_worker(directory, redis.url, {**SETTINGS, "transport": transport}, files) as one,
    ):
        for user in ({"name": "lgy", "rpm": 3, "tpm": 1000}, {"name": "free"}, {"name": "many", "rpm": 10_000}):
            httpx.post(f"{one.admin}/CreateUser", json=user).raise_for_status()
        yield one


@pytest.fixture
def player(worker: RunningWorker, request: pytest.FixtureRequest) -> Iterator[Player]:
    """A client; of a worker with TLS it has a certificate, and trusts that of the worker."""
    player = Player(worker.grpc, request.getfixturevalue("authority").client() if worker.tls else None)
    yield player
    player.close()


def quiet(worker: RunningWorker) -> bool:
    metrics = worker.metrics()
    return metrics['forebay_requests_in_flight{model="m"}'] == 0 and metrics["forebay_reservations_open"] == 0


def test_the_destination_goes_out_twice_and_identical(player: Player):
    stream = player.chat()
    reply = stream.routed()
    stream.finish()

    header = set_headers(mutation_of(reply))["x-gateway-destination-endpoint"]
    assert header == metadata_of(reply)["envoy.lb"]["x-gateway-destination-endpoint"]
    assert {"127.0.0.1:9", "127.0.0.1:10", "127.0.0.1:11"} == set(header.split(","))


def test_limits_are_reported_and_the_fourth_request_is_refused(player: Player, worker: RunningWorker):
    for used in (1, 2, 3):
        stream = player.chat(user="lgy")
        response = metadata_of(stream.routed())["forebay.response"]
        stream.finish()
        assert "3" == response["x-ratelimit-limit-requests"]
        assert str(3 - used) == response["x-ratelimit-remaining-requests"]
        assert str(used) == response["x-update-rpm"]

    refusal = player.chat(user="lgy").immediate()

    assert (429, "user: lgy has exceeded RPM: 3") == (refusal.status, refusal.json["error"]["message"])
    assert "true" == refusal.headers["x-error-rpm-exceeded"]
    assert 50 <= int(refusal.headers["retry-after"]) <= 60
    assert 0 <= 1000 * int(refusal.headers["retry-after"]) - int(refusal.headers["retry-after-ms"]) < 1000
    assert "0" == refusal.headers["x-ratelimit-remaining-requests"]


def test_an_unknown_user_is_refused(player: Player):
    refusal = player.chat(user="nobody").immediate()
    assert (401, "true") == (refusal.status, refusal.headers["x-error-user"])


def test_a_changed_limit_binds_the_very_next_request(player: Player, worker: RunningWorker):
    httpx.post(f"{worker.admin}/CreateUser", json={"name": "changing", "rpm": 100}).raise_for_status()
    first = player.chat(user="changing")
    first.routed()
    httpx.post(f"{worker.admin}/UpdateUser", json={"name": "changing", "rpm": 1}).raise_for_status()

    refusal = player.chat(user="changing").immediate()

    first.finish()
    assert "user: changing has exceeded RPM: 1" == refusal.json["error"]["message"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", (400, None)),
        (b"[]", (400, None)),
        (b"", (400, None)),
        (b'{"model":"m"}', (400, "messages")),
        (orjson.dumps({**CHAT, "model": "nope"}), (404, "model")),
        (orjson.dumps({**CHAT, "model": "empty"}), (503, None)),
        (orjson.dumps({**CHAT, "max_tokens": "many"}), (400, "max_tokens")),
        (b"x" * 2_000_001, (413, None)),
    ],
)
@pytest.mark.parametrize("mode", [BUFFERED, FULL_DUPLEX])
def test_a_bad_body_is_refused_and_changes_no_counter(
    player: Player, worker: RunningWorker, body: bytes, expected: tuple[int, str | None], mode: int
):
    httpx.post(f"{worker.admin}/CreateUser", json={"name": "careful", "rpm": 5}).raise_for_status()

    refusal = player.chat(body, mode, user="careful").immediate()

    assert expected == (refusal.status, refusal.json["error"]["param"])
    assert "5" == refusal.headers["x-ratelimit-remaining-requests"]
    assert 0 == httpx.get(f"{worker.admin}/users/careful/usage").json()["requests"]


def test_a_body_of_many_pieces_comes_back_whole(player: Player):
    body = orjson.dumps({**CHAT, "messages": [{"role": "user", "content": "x" * 300_000}]})
    stream = player.open()
    stream.headers(mode=FULL_DUPLEX)
    for start in range(0, len(body), 50_000):
        stream.body(body[start : start + 50_000], end=start + 50_000 >= len(body))

    first = stream.reply()
    pieces = []
    while not pieces or not pieces[-1].end_of_stream:
        pieces.append(stream.reply().request_body.response.body_mutation.streamed_response)
    stream.finish()

    assert first.HasField("request_headers")
    assert body == b"".join(piece.body for piece in pieces)
    assert max(len(piece.body) for piece in pieces) <= 62_000


@pytest.mark.parametrize("subset", ["127.0.0.1:10", ["127.0.0.1:10"], "127.0.0.1:10, 10.9.9.9:1"])
def test_a_subset_hint_confines_the_choice(player: Player, subset: str | list[str]):
    stream = player.open()
    stream.headers(subset=subset)
    stream.body(orjson.dumps(CHAT))
    destination = set_headers(mutation_of(stream.routed()))["x-gateway-destination-endpoint"]
    stream.finish()
    assert "127.0.0.1:10" == destination


@pytest.mark.parametrize("subset", ["10.9.9.9:1", [], ""])
def test_a_subset_that_holds_nobody_is_unavailable(player: Player, subset: str | list[str]):
    stream = player.open()
    stream.headers(subset=subset)
    stream.body(orjson.dumps(CHAT))
    assert 503 == stream.immediate().status


def test_models_are_listed_from_the_headers_alone(player: Player):
    stream = player.open()
    stream.headers(method="GET", path="/v1/models", end=True)
    listing = stream.immediate()
    assert (200, ["m", "empty"]) == (listing.status, [model["id"] for model in listing.json["data"]])


@pytest.mark.parametrize(("strategy", "status"), [("nope", 400), ("Random", 400), ("random:0", 400)], ids=str)
def test_an_invalid_strategy_is_refused_with_the_valid_names(player: Player, strategy: str, status: int):
    refusal = player.chat(routing_strategy=strategy).immediate()
    assert status == refusal.status
    assert "least-request" in refusal.json["error"]["message"]


def test_a_request_in_flight_counts_until_its_stream_ends_however_it_ends(player: Player, worker: RunningWorker):
    finished, cut = player.chat(user="many"), player.chat(user="many")
    for stream in (finished, cut):
        stream.routed()
    until(lambda: worker.metrics()['forebay_requests_in_flight{model="m"}'] == 2)

    finished.finish()
    cut.cancel()

    until(lambda: quiet(worker))


def test_usage_from_the_access_log_replaces_the_estimate(player: Player, worker: RunningWorker):
    httpx.post(f"{worker.admin}/CreateUser", json={"name": "settled", "tpm": 10_000}).raise_for_status()
    stream = player.chat(user="settled")
    exchange = metadata_of(stream.routed())["forebay"]["exchange"]
    message = als.StreamAccessLogsMessage()
    entry = message.http_logs.log_entry.add()
    entry.response.response_code.value = 200
    put(entry, "forebay", exchange=exchange)
    put(entry, "usage", prompt_tokens=11, completion_tokens=22)

    call = player.channel.stream_unary("/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs")
    call(iter([message.SerializeToString()]), timeout=10)
    stream.finish()

    until(lambda: httpx.get(f"{worker.admin}/users/settled/usage").json()["tokens"] == 33)
    until(lambda: quiet(worker))


def test_usage_from_the_response_replaces_the_estimate_and_headers_are_ours(player: Player, worker: RunningWorker):
    httpx.post(f"{worker.admin}/CreateUser", json={"name": "through", "tpm": 10_000}).raise_for_status()
    stream = player.chat(user="through")
    primary = set_headers(mutation_of(stream.routed()))["x-gateway-destination-endpoint"].split(",")
    stream.response_headers(
        content_type="application/json", x_forebay_spoof="1", target_pod="theirs", served=primary[1]
    )
    answer = stream.reply().response_headers.response.header_mutation
    stream.response_body(b'{"usage":{"prompt_tokens":5,"completion_tokens":6,"total_tokens":11}}', end=True)
    stream.reply()
    stream.finish()

    names = {"127.0.0.1:9": "a", "127.0.0.1:10": "b", "127.0.0.1:11": "c"}
    assert names[primary[1]] == set_headers(answer)["target-pod"]
    assert ["x-forebay-spoof"] == list(answer.remove_headers)
    until(lambda: httpx.get(f"{worker.admin}/users/through/usage").json()["tokens"] == 11)


@pytest.mark.parametrize(
    "message", [b"\xff\xff garbage", b"", pb.ProcessingRequest(request_body=pb.HttpBody(body=b"x"))]
)
def test_what_is_no_exchange_ends_in_invalid_argument(player: Player, message: bytes | pb.ProcessingRequest):
    stream = player.open()
    stream.send(message)
    with pytest.raises(grpc.RpcError) as caught:
        stream.reply()
    assert grpc.StatusCode.INVALID_ARGUMENT == caught.value.code()  # type: ignore[attr-defined]  # RpcError is a Call too


def test_a_message_out_of_turn_ends_a_routed_request_and_leaves_nothing_counted(player: Player, worker: RunningWorker):
    stream = player.chat(user="many")
    stream.routed()
    stream.body(b"again")
    with pytest.raises(grpc.RpcError) as caught:
        stream.reply()
    assert grpc.StatusCode.INVALID_ARGUMENT == caught.value.code()  # type: ignore[attr-defined]  # RpcError is a Call too
    until(lambda: quiet(worker))


def test_an_answer_that_another_filter_gave_passes_through(player: Player):
    stream = player.open()
    stream.response_headers(401, end=True)
    assert "response_headers" == stream.reply().WhichOneof("response")


def test_a_refusal_by_the_pod_is_refunded_and_stays_counted(player: Player, worker: RunningWorker):
    httpx.post(f"{worker.admin}/CreateUser", json={"name": "refunded", "tpm": 10_000}).raise_for_status()
    stream = player.chat(user="refunded")
    stream.routed()
    stream.response_headers(500, end=True)
    stream.reply()
    stream.finish()

    def use() -> tuple[int, int]:
        usage = httpx.get(f"{worker.admin}/users/refunded/usage").json()
        return usage["requests"], usage["tokens"]

    until(lambda: use() == (1, 0))


def test_an_absurd_usage_of_one_answer_does_not_shut_others_out(player: Player, worker: RunningWorker):
    httpx.post(f"{worker.admin}/CreateUser", json={"name": "modest", "tpm": 100_000}).raise_for_status()
    stream = player.chat(user="many")
    stream.routed()
    stream.response_headers(content_type="application/json")
    stream.response_body(b'{"usage":{"prompt_tokens":1e300,"completion_tokens":1}}', end=True)
    stream.finish()
    until(lambda: quiet(worker))

    other = player.chat(user="modest")
    assert other.routed()
    other.finish()


def test_a_pod_that_was_not_named_is_told_to_the_client_when_it_served(player: Player):
    stream = player.open()
    stream.headers(subset="127.0.0.1:10", user="many")
    stream.body(orjson.dumps(CHAT))
    stream.routed()
    stream.response_headers(served="127.0.0.1:9", x_gateway_destination_endpoint="6.6.6.6:6")
    mutation = stream.reply().response_headers.response.header_mutation
    stream.cancel()
    assert ("a", "127.0.0.1:9") == tuple(set_headers(mutation)[name] for name in ("target-pod", "target-pod-ip"))
    assert ["x-gateway-destination-endpoint"] == list(mutation.remove_headers)


@pytest.mark.parametrize("name", ["envoy.service.ext_proc.v3.ExternalProcessor", "inference-extension"])
def test_health_knows_the_services_by_name(player: Player, name: str):
    check = player.channel.unary_unary("/grpc.health.v1.Health/Check")
    answer = check(health.HealthCheckRequest(service=name).SerializeToString(), timeout=5)
    assert health.HealthCheckResponse.SERVING == health.HealthCheckResponse.FromString(answer).status


def test_health_of_an_unknown_service_is_not_found(player: Player):
    request = health.HealthCheckRequest(service="nobody").SerializeToString()
    with pytest.raises(grpc.RpcError) as caught:
        player.channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=5)
    assert grpc.StatusCode.NOT_FOUND == caught.value.code()  # type: ignore[attr-defined]  # RpcError is a Call too
    watch = player.channel.unary_stream("/grpc.health.v1.Health/Watch")(request, timeout=5)
    first = health.HealthCheckResponse.FromString(next(watch)).status
    watch.cancel()
    assert health.HealthCheckResponse.SERVICE_UNKNOWN == first


def test_health_says_serving(player: Player):
    check = player.channel.unary_unary("/grpc.health.v1.Health/Check")
    answer = health.HealthCheckResponse.FromString(check(b"", timeout=5))
    assert health.HealthCheckResponse.SERVING == answer.status


def test_a_watcher_of_health_hears_the_state_at_once(player: Player):
    watch = player.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=5)
    assert health.HealthCheckResponse.SERVING == health.HealthCheckResponse.FromString(next(watch)).status
    watch.cancel()


def test_an_unknown_method_is_unimplemented(player: Player):
    with pytest.raises(grpc.RpcError) as caught:
        player.channel.unary_unary("/nobody.Service/Method")(b"", timeout=5)
    assert grpc.StatusCode.UNIMPLEMENTED == caught.value.code()  # type: ignore[attr-defined]  # RpcError is a Call too


def test_many_exchanges_at_once_leave_nothing_behind(player: Player, worker: RunningWorker):
    until(lambda: quiet(worker))
    before = worker.metrics().get('forebay_requests_total{model="m",outcome="unknown",strategy="forebay"}', 0)

    def run(count: int) -> None:
        for number in range(count):
            stream = player.chat(user="many")
            stream.routed()
            (stream.finish if number % 2 else stream.cancel)()

    threads = [threading.Thread(target=run, args=(25,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    until(lambda: quiet(worker))
    after = worker.metrics()['forebay_requests_total{model="m",outcome="unknown",strategy="forebay"}']
    assert 200 == after - before
