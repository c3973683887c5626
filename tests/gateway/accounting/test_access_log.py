"""Access-log entries as Envoy sends them, and what is made of them."""

from collections.abc import Set
from typing import Any

import pytest

from gateway.accounting.access_log import decode
from gateway.accounting.outcomes import ObservedEnd
from gateway.openai.engine_errors import EngineError
from gateway.openai.usage import TokenUsage
from gateway.pb import access_log_service_pb2 as service
from tests.support.access_log import put


def an_entry(message: service.StreamAccessLogsMessage, exchange: str | None, **usage: float) -> None:
    entry = message.http_logs.log_entry.add()
    entry.response.response_code.value = 200
    entry.response.response_body_bytes = 533
    common = entry.common_properties
    common.upstream_remote_address.socket_address.address = "10.0.0.1"
    common.upstream_remote_address.socket_address.port_value = 8000
    common.time_to_first_upstream_tx_byte.nanos = 750_000_000
    common.time_to_last_upstream_rx_byte.seconds, common.time_to_last_upstream_rx_byte.nanos = 3, 250_000_000
    if exchange is not None:
        put(entry, "forebay", exchange=exchange)
    if usage:
        put(entry, "usage", **usage)


def failed(message: service.StreamAccessLogsMessage) -> Set[str]:
    return decode(message.SerializeToString()).failed


def ends(message: service.StreamAccessLogsMessage) -> list[tuple[str, ObservedEnd]]:
    return [(entry.exchange_id, entry.end()) for entry in decode(message.SerializeToString()).entries]


def test_an_entry_tells_usage_pod_and_times():
    message = service.StreamAccessLogsMessage()
    an_entry(message, "0-1", prompt_tokens=7, completion_tokens=9)

    end = ObservedEnd(200, TokenUsage(7, 9), response_bytes=533, duration_s=2.5, upstream="10.0.0.1:8000")
    assert [("0-1", end)] == ends(message)


@pytest.mark.parametrize(
    ("coding", "size"), [("", 533), ("identity", 533), ("Identity", 533), ("gzip", None), ("identity, BR", None)]
)
def test_the_size_of_an_answer_is_known_unless_a_coding_changed_it(coding: str, size: int | None):
    message = service.StreamAccessLogsMessage()
    an_entry(message, "0-1")
    message.http_logs.log_entry[0].response.response_headers["content-encoding"] = coding

    ((_, end),) = ends(message)

    assert (size is None, size) == (end.compressed, end.response_bytes)


def test_usage_that_is_no_number_is_unknown():
    message = service.StreamAccessLogsMessage()
    an_entry(message, "0-1")
    put(message.http_logs.log_entry[0], "usage", prompt_tokens=None, completion_tokens="9")
    ((_, end),) = ends(message)
    assert end.usage is None


@pytest.mark.parametrize("tokens", [float("nan"), float("inf"), 1.5, 1e300, -1.0])
def test_a_number_of_tokens_that_cannot_be_is_unknown_and_costs_no_other_entry(tokens: float):
    message = service.StreamAccessLogsMessage()
    an_entry(message, "0-1", total_tokens=tokens)
    an_entry(message, "0-2", total_tokens=3)
    assert [None, TokenUsage(reported_total=3)] == [end.usage for _, end in ends(message)]


@pytest.mark.parametrize("field", ["time_to_first_upstream_tx_byte", "time_to_last_upstream_rx_byte"])
def test_a_time_that_envoy_did_not_tell_is_unknown(field: str):
    message = service.StreamAccessLogsMessage()
    an_entry(message, "0-1")
    message.http_logs.log_entry[0].common_properties.ClearField(field)
    ((_, end),) = ends(message)
    assert end.duration_s is None


def test_requests_that_were_not_ours_are_passed_over():
    message = service.StreamAccessLogsMessage()
    an_entry(message, None)
    an_entry(message, "0-2")
    assert (["0-2"], set()) == ([exchange for exchange, _ in ends(message)], failed(message))


def test_a_client_that_left_and_an_error_inside_a_stream_are_seen():
    message = service.StreamAccessLogsMessage()
    an_entry(message, "0-3")
    put(message.http_logs.log_entry[0], "engine_error", error="the engine died")
    message.http_logs.log_entry[0].common_properties.response_flags.downstream_connection_termination = True
    ((_, end),) = ends(message)
    assert (EngineError.UNSAID, True, None) == (end.error, end.client_left, end.usage)


@pytest.mark.parametrize(
    "flag",
    ["upstream_connection_termination", "upstream_protocol_error", "upstream_remote_reset"],
)
def test_an_answer_that_is_not_whole_is_the_pods_failure_whatever_its_status(flag: str):
    message = service.StreamAccessLogsMessage()
    an_entry(message, "0-4")
    setattr(message.http_logs.log_entry[0].common_properties.response_flags, flag, True)
    ((_, end),) = ends(message)
    assert (200, True, False, False) == (end.status, end.broken, end.timed_out, end.client_left)


@pytest.mark.parametrize(
    ("sent_bytes", "details", "accepted", "from_pod"),
    [
        (315, "via_upstream", True, True),
        (315, "upstream_reset_before_response_started{connection_termination}", True, False),
        (0, "upstream_reset_before_response_started{remote_connection_failure}", False, False),
        (0, "", True, True),  # an Envoy that tells neither
    ],
)
def test_an_entry_tells_whether_a_pod_was_sent_the_request_and_whether_it_answered(
    sent_bytes: int, details: str, *, accepted: bool, from_pod: bool
):
    message = service.StreamAccessLogsMessage()
    an_entry(message, "0-5")
    message.http_logs.log_entry[0].common_properties.upstream_wire_bytes_sent = sent_bytes
    message.http_logs.log_entry[0].response.response_code_details = details
    ((_, end),) = ends(message)
    assert (accepted, from_pod) == (end.accepted, end.from_pod)


@pytest.mark.parametrize(
    ("lifted", "error"),
    [
        ({"error": "text"}, EngineError.UNSAID),
        ({"error": '{"message":"died","code":500}'}, EngineError.ENGINE),
        ({"error": '{"message":"long","code":"context_length_exceeded"}'}, EngineError.CALLER),
        ({"error": True}, EngineError.UNSAID),
        ({"error": True, "error.code": 400}, EngineError.CALLER),
        ({"error": True, "error.type": "InternalServerError"}, EngineError.ENGINE),
        ({"response.error": '{"code":"server_error"}'}, EngineError.ENGINE),
        ({"response.status": "failed", "type": "response.failed"}, EngineError.UNSAID),
        ({"type": "error", "code": "invalid_prompt"}, EngineError.CALLER),
        ({"message": "long", "code": 400.0}, EngineError.CALLER),
        ({"detail": "gone"}, EngineError.UNSAID),
        ({"response.status": "completed", "type": "response.completed"}, None),
        ({"message": '{"role":"assistant"}', "type": "message_stop"}, None),
        ({"code": "print(1)", "type": "response.completed"}, None),
        ({"code": 0, "message": "success"}, None),
        ({"code": ""}, None),
        ({"error": "null"}, None),
        ({"error": ""}, None),
        ({"error": False}, None),
    ],
)
def test_members_of_an_error_that_envoy_found_are_put_together(lifted: dict[str, Any], error: EngineError | None):
    message = service.StreamAccessLogsMessage()
    an_entry(message, "0-6")
    put(message.http_logs.log_entry[0], "engine_error", **lifted)
    ((_, end),) = ends(message)
    assert error == end.error


@pytest.mark.parametrize(
    "flag", ["upstream_connection_failure", "upstream_connection_termination", "upstream_remote_reset"]
)
def test_an_attempt_that_an_engine_failed_names_the_engine_once_and_is_no_end(flag: str):
    message = service.StreamAccessLogsMessage()
    for _ in range(2):
        an_entry(message, None)
        setattr(message.http_logs.log_entry[-1].common_properties.response_flags, flag, True)

    assert ([], {"10.0.0.1:8000"}) == decode(message.SerializeToString())


def test_an_attempt_at_no_known_address_names_nobody():
    message = service.StreamAccessLogsMessage()
    an_entry(message, None)
    message.http_logs.log_entry[0].common_properties.ClearField("upstream_remote_address")
    message.http_logs.log_entry[0].common_properties.response_flags.upstream_connection_failure = True

    assert set() == failed(message)


def test_bytes_that_are_no_message_are_refused():
    with pytest.raises(ValueError, match="StreamAccessLogsMessage"):
        decode(b"\xff\xff\xff")


@pytest.mark.parametrize(
    ("lifted", "response_bytes"),
    [
        ({"error": '{"message":"died"}'}, 100 - 18),
        ({"object": "error", "message": "died"}, 100 - 9),
        ({"error": True, "error.code": 400}, None),
        ({"response.status": "completed"}, 100),
    ],
)
def test_the_bytes_of_an_error_are_no_output(lifted: dict[str, Any], response_bytes: int | None):
    message = service.StreamAccessLogsMessage()
    an_entry(message, "0-7")
    message.http_logs.log_entry[0].response.response_body_bytes = 100
    put(message.http_logs.log_entry[0], "engine_error", **lifted)
    ((_, end),) = ends(message)
    assert response_bytes == end.response_bytes
