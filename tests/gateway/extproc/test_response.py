"""A pod's answer: the headers that the client sees, and what may not reach it."""

import pytest

from gateway.extproc.events import ResponseHeaders, Routed
from gateway.extproc.response import ResponseReader, headers_to_remove
from gateway.openai.usage import TokenUsage

ROUTED = Routed(
    "0-1", {}, {"target-pod": "a", "target-pod-ip": "10.0.0.1:80"}, {}, {"10.0.0.1:80": "a", "10.0.0.2:80": "b"}
)


def a_reader(upstream: str | None = None, *, hide_usage: bool = False, **headers: str) -> ResponseReader:
    named = {":status": "200", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return ResponseReader(ResponseHeaders(named, upstream=upstream), hide_usage=hide_usage)


@pytest.mark.parametrize(
    ("upstream", "named"),
    [
        (None, {"target-pod": "a", "target-pod-ip": "10.0.0.1:80"}),
        ("10.0.0.2:80", {"target-pod": "b", "target-pod-ip": "10.0.0.2:80"}),
        ("10.0.0.9:80", {"target-pod-ip": "10.0.0.9:80"}),
    ],
)
def test_the_pod_that_served_is_named_and_an_unknown_one_gets_no_name(upstream: str | None, named: dict[str, str]):
    assert named == a_reader(upstream).mutation(ROUTED).set_headers


@pytest.mark.parametrize(
    ("upstream", "pool"), [(None, "own"), ("10.0.0.1:80", "own"), ("10.0.0.2:80", "cloud"), ("10.0.0.9:80", None)]
)
def test_the_pool_is_that_of_the_pod_that_served(upstream: str | None, pool: str | None):
    pools = {"10.0.0.1:80": "own", "10.0.0.2:80": "cloud"}
    routed = ROUTED._replace(client_headers={"x-forebay-pool": "own"}, pools=pools)

    assert pool == a_reader(upstream).mutation(routed).set_headers.get("x-forebay-pool")


@pytest.mark.parametrize("name", ["target-pod", "target-pod-ip", "x-gateway-destination-endpoint", "x-forebay-any"])
def test_a_reserved_name_in_an_answer_is_overwritten_or_removed(name: str):
    mutation = a_reader(**{name: "theirs"}).mutation(ROUTED)
    assert [name] == headers_to_remove({name: "theirs", "x-other": "kept"}, {})
    assert name in mutation.remove_headers or mutation.set_headers[name] != "theirs"


def test_an_answer_of_the_proxy_itself_keeps_its_headers():
    mutation = a_reader(target_pod="x").mutation(None)
    assert ({}, ()) == (mutation.set_headers, mutation.remove_headers)


def test_a_body_that_shrinks_loses_its_length():
    reader = a_reader(hide_usage=True, content_type="text/event-stream", content_length="9")
    assert ("content-length",) == reader.mutation(ROUTED).remove_headers


@pytest.mark.parametrize("status", ["", "abc", "9" * 5000, "2"])
def test_a_malformed_status_is_unknown(status: str):
    reader = ResponseReader(ResponseHeaders({":status": status}), hide_usage=False)
    assert reader.finish(complete=True).status is None


@pytest.mark.parametrize(
    ("coding", "is_read"),
    [("", True), ("identity", True), ("Identity", True), ("gzip", False), ("identity, BR", False)],
)
def test_an_answer_is_read_unless_a_coding_changed_it(coding: str, is_read: bool):
    reader = a_reader(content_type="application/json", content_encoding=coding)
    reader.feed(b'{"usage":{"prompt_tokens":1}}', end=True)

    end = reader.finish(complete=True)

    assert (is_read, not is_read) == (end.usage is not None, end.compressed)


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
def test_the_end_names_the_pod_that_served(kind: str):
    assert "10.0.0.2:80" == a_reader("10.0.0.2:80", content_type=kind).finish(complete=True).upstream


@pytest.mark.parametrize(
    "name",
    [
        "routing_strategy",
        "x_api_key",
        "x_forebay_any",
        "x-forebay_any",
        "target_pod",
        "proxy-authorization",
        "x-client-model",
        "proxy_authorization",
        "x_envoy_retries",
    ],
)
def test_twins_of_control_headers_and_passwords_for_proxies_end_here(name: str):
    assert [name] == headers_to_remove({name: "theirs", "x_other": "kept", "user": "kept"}, {})


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n", b"\n\n"])
@pytest.mark.parametrize("hide_usage", [False, True])
def test_a_last_event_with_the_usage_is_read_and_hidden_also_without_its_blank_line(end: bytes, hide_usage: bool):
    first, usage = b'data: {"choices":[{}]}\n\n', b'data: {"choices":[],"usage":{"prompt_tokens":5}}' + end
    reader = a_reader(content_type="text/event-stream", hide_usage=hide_usage)

    assert first + (b"" if hide_usage else usage) == reader.feed(first + usage, end=True)
    assert TokenUsage(5) == reader.finish(complete=True).usage
