"""Protobuf in, events out; commands in, protobuf out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.extproc import wire
from gateway.extproc.commands import (
    BodyReply,
    Finish,
    HeadersReply,
    ImmediateReply,
    Mutation,
    Side,
    StreamedBodyReply,
    TrailersReply,
    WithCost,
)
from gateway.extproc.events import (
    BodyMode,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from gateway.pb import ext_proc_pb2 as pb


def headers_of(pairs: list[tuple[str, bytes]]) -> pb.ProcessingRequest:
    request = pb.ProcessingRequest(request_headers=pb.HttpHeaders())
    for key, raw in pairs:
        request.request_headers.headers.headers.add(key=key, raw_value=raw)
    return request


def decoded(request: pb.ProcessingRequest) -> RequestHeaders:
    event = wire.decode(request.SerializeToString())
    assert isinstance(event, RequestHeaders)
    return event


def reply(command: object) -> pb.ProcessingResponse:
    return pb.ProcessingResponse.FromString(wire.encode(command))  # type: ignore[arg-type]  # any command, also wrong ones


def test_headers_are_lower_case_repeated_ones_joined_and_values_come_from_either_field():
    request = headers_of([("User", "josé".encode()), ("accept", b"a"), ("accept", b"b"), ("odd", b"\xe9")])
    request.request_headers.headers.headers.add(key="plain", value="v")
    assert {"user": "josé", "accept": "a,b", "odd": "é", "plain": "v"} == decoded(request).headers


def test_body_modes_are_read_and_absent_ones_are_unknown():
    request = headers_of([])
    assert (None, None) == (decoded(request).request_mode, decoded(request).response_mode)

    request.protocol_config.request_body_mode = 4  # type: ignore[assignment]  # the enum's number
    request.protocol_config.response_body_mode = 1  # type: ignore[assignment]  # the enum's number

    assert BodyMode.FULL_DUPLEX_STREAMED is decoded(request).request_mode
    assert BodyMode.STREAMED is decoded(request).response_mode


@pytest.mark.parametrize(
    "hint",
    [
        "10.0.0.1:80, 10.0.0.2",
        ["10.0.0.1:80", "10.0.0.2"],
        " 10.0.0.1:80 ,,\t10.0.0.2\n, ",
        ["", " 10.0.0.1:80\t", " ", "\n10.0.0.2", ","],
        ["10.0.0.1:80, 10.0.0.2 ,"],
        [" 10.0.0.1:80", None, 7, "10.0.0.2"],
    ],
)
def test_a_subset_hint_is_a_list_or_a_comma_separated_text(hint: str | list[str]):
    request = headers_of([])
    metadata = request.metadata_context.filter_metadata["envoy.lb.subset_hint"]
    metadata.update({"x-gateway-destination-endpoint-subset": hint})
    assert frozenset({"10.0.0.1:80", "10.0.0.2"}) == decoded(request).subset


def test_blanks_inside_an_address_make_it_another_that_no_pod_has():
    request = headers_of([])
    metadata = request.metadata_context.filter_metadata["envoy.lb.subset_hint"]
    metadata.update({"x-gateway-destination-endpoint-subset": "10.0.0.1 :80, 10.0. 0.2"})
    assert frozenset({"10.0.0.1 :80", "10.0. 0.2"}) == decoded(request).subset


@pytest.mark.parametrize("hint", ["", " , ", [], ["", " "]])
def test_a_subset_hint_that_names_nobody_allows_nobody(hint: str | list[str]):
    request = headers_of([])
    metadata = request.metadata_context.filter_metadata["envoy.lb.subset_hint"]
    metadata.update({"x-gateway-destination-endpoint-subset": hint})
    assert frozenset() == decoded(request).subset


def test_other_metadata_is_no_subset_hint():
    request = headers_of([])
    request.metadata_context.filter_metadata["other"].update({"a": "b"})
    assert decoded(request).subset is None


def test_the_other_messages():
    assert RequestBody(b"x", True) == wire.decode(
        pb.ProcessingRequest(request_body=pb.HttpBody(body=b"x", end_of_stream=True)).SerializeToString()
    )
    assert ResponseBody(b"", True) == wire.decode(
        pb.ProcessingRequest(response_body=pb.HttpBody(end_of_stream_without_message=True)).SerializeToString()
    )
    trailers = pb.HttpTrailers()
    assert RequestTrailers() == wire.decode(pb.ProcessingRequest(request_trailers=trailers).SerializeToString())
    assert ResponseTrailers() == wire.decode(pb.ProcessingRequest(response_trailers=trailers).SerializeToString())


def test_the_pod_that_served_is_also_known_from_envoys_attribute():
    message = pb.ProcessingRequest(response_headers=pb.HttpHeaders(end_of_stream=True))
    message.attributes["envoy.filters.http.ext_proc"].update({"upstream.address": "10.0.0.2:80"})

    assert ResponseHeaders({}, True, "10.0.0.2:80") == wire.decode(message.SerializeToString())


def test_an_answer_names_the_pod_that_served():
    request = pb.ProcessingRequest(response_headers=pb.HttpHeaders(end_of_stream=True))
    request.metadata_context.filter_metadata["envoy.lb"].update(
        {"x-gateway-destination-endpoint-served": "10.0.0.1:80"}
    )
    assert ResponseHeaders({}, True, "10.0.0.1:80") == wire.decode(request.SerializeToString())


@pytest.mark.parametrize("message", [b"\xff\xff", b""])
def test_other_bytes_are_malformed(message: bytes):
    with pytest.raises(wire.MalformedMessageError):
        wire.decode(message)


def test_a_mutation_sets_raw_values_removes_names_and_carries_metadata():
    mutation = Mutation({"a": "1"}, ("b",), {"envoy.lb": {"k": "v"}})
    response = reply(BodyReply(Side.REQUEST, mutation, b"new"))
    common = response.request_body.response
    (option,) = common.header_mutation.set_headers
    assert ("a", b"1", wire.OVERWRITE) == (option.header.key, option.header.raw_value, option.append_action)
    assert ["b"] == list(common.header_mutation.remove_headers)
    assert b"new" == common.body_mutation.body
    assert common.clear_route_cache
    assert "v" == response.dynamic_metadata["envoy.lb"]["k"]


@given(
    st.dictionaries(st.text(max_size=200), st.dictionaries(st.text(max_size=200), st.text(max_size=300), max_size=5))
)
def test_metadata_of_any_size_is_the_message_that_protobuf_would_make(metadata: dict[str, dict[str, str]]):
    response = reply(BodyReply(Side.REQUEST, Mutation(metadata=metadata)))
    assert metadata == {name: dict(fields) for name, fields in response.dynamic_metadata.items()}


def test_an_untouched_body_is_not_in_the_reply():
    response = reply(BodyReply(Side.RESPONSE))
    assert response.HasField("response_body")
    assert not response.response_body.response.HasField("body_mutation")


def test_a_streamed_piece_is_there_even_when_empty():
    piece = reply(StreamedBodyReply(Side.RESPONSE, b"", False)).response_body.response.body_mutation
    assert "streamed_response" == piece.WhichOneof("mutation")


@pytest.mark.parametrize(
    ("command", "phase"),
    [
        (HeadersReply(Side.REQUEST), "request_headers"),
        (HeadersReply(Side.RESPONSE), "response_headers"),
        (TrailersReply(Side.REQUEST), "request_trailers"),
        (TrailersReply(Side.RESPONSE), "response_trailers"),
    ],
)
def test_each_reply_names_its_phase(command: object, phase: str):
    assert phase == reply(command).WhichOneof("response")


def test_an_immediate_reply_has_status_headers_and_body():
    immediate = reply(ImmediateReply(429, {"retry-after": "7"}, b"{}")).immediate_response
    (option,) = immediate.headers.set_headers
    assert (429, b"{}", b"7") == (immediate.status.code, immediate.body, option.header.raw_value)


def test_a_command_for_admission_is_no_reply():
    with pytest.raises(TypeError):
        wire.encode(Finish())


@pytest.mark.parametrize(
    "reply",
    [
        BodyReply(Side.RESPONSE),
        StreamedBodyReply(Side.RESPONSE, b"{}", True),
        TrailersReply(Side.RESPONSE),
        HeadersReply(Side.RESPONSE, Mutation({"a": "b"}, (), {"envoy.lb": {"other": "x"}})),
    ],
)
@pytest.mark.parametrize("tokens", [0, 16, 2**40])
def test_a_cost_is_a_number_beside_whatever_is_replied(reply, tokens):
    plain = pb.ProcessingResponse.FromString(wire.encode(reply))
    costly = pb.ProcessingResponse.FromString(wire.encode(WithCost(reply, tokens)))

    told = costly.dynamic_metadata.fields["envoy.lb"].struct_value.fields
    assert tokens == told["x-gateway-inference-request-cost"].number_value
    costly.ClearField("dynamic_metadata")
    plain.ClearField("dynamic_metadata")
    assert plain == costly


def test_a_listener_inside_envoy_names_its_pool_and_nobody_else_does():
    request = headers_of([("x-forebay-api", b"cloud")])
    before = decoded(request).api_pool
    request.metadata_context.filter_metadata["forebay.api"].update({"pool": "cloud"})

    assert ("", "cloud") == (before, decoded(request).api_pool)
