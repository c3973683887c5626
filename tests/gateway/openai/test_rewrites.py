"""Rewriting models: the rules, and what they change in bodies and answers."""

import time
from collections import Counter
from collections.abc import Container
from random import Random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai.errors import BadRequestError
from gateway.openai.members import MAX_MENTIONS
from gateway.openai.operations import Operation
from gateway.openai.request import parse_request
from gateway.openai.rewrites import (
    MAX_HELD_BYTES,
    MODEL_REWRITE,
    AnswerModel,
    EventModels,
    Rewrite,
    Rewrites,
    Sticky,
    Target,
    with_model,
)
from tests.support.exchanges import rewrites
from tests.support.recordings import recorded_body

FORM_TYPE = 'multipart/form-data; boundary="x"'


def a_rule(*models: str, to: str = "t") -> Rewrite:
    return Rewrite(models, (Target(to),))


def split(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def passed(change: EventModels | AnswerModel, *pieces: bytes) -> bytes:
    return b"".join([*map(change.feed, pieces), change.finish()])


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((), ""),
        ((a_rule("m", to="x"),), "x"),
        ((a_rule("other"),), ""),
        ((a_rule("other", "m", to="x"),), "x"),
        ((a_rule(to="any"), a_rule("m", to="exact")), "exact"),
        ((a_rule(to="any"), a_rule(to="later"), a_rule("other")), "any"),
        ((a_rule("m", to="older"), a_rule("m", to="newer")), "older"),
        ((a_rule("m", to="m"),), ""),
    ],
)
def test_a_rule_for_the_model_decides_before_one_for_any_and_the_first_of_equals(rules, expected):
    assert expected == rewrites(*rules).target("m", {})


def test_rules_are_replaced_as_a_whole():
    made = rewrites(a_rule("m"), a_rule())
    made.replace(())
    assert "" == made.target("m", {})


def test_a_header_names_the_model_unless_a_rule_does_or_clients_are_not_trusted():
    header = {MODEL_REWRITE: "named"}
    assert "named" == rewrites().target("m", header)
    assert "t" == rewrites(a_rule("m")).target("m", header)
    assert "" == rewrites(trusts_header=False).target("m", header)
    assert "" == rewrites().target("named", header) == rewrites().target("m", {MODEL_REWRITE: ""})


def test_targets_get_their_share():
    made = Rewrites(Random(1), trusts_header=False)
    made.replace((Rewrite(("m",), (Target("v1", 1), Target("v2", 3))),))

    drawn = Counter(made.target("m", {}) for _ in range(4000))

    assert {"v1", "v2"} == set(drawn)
    assert 1000 == pytest.approx(drawn["v1"], abs=150)


def a_split(sticky: Sticky, *fallbacks: str, served: Container[str] = ("v1", "v2", "spare", "last")) -> Rewrites:
    made = Rewrites(Random(1), trusts_header=False, is_served=lambda model: model in served)
    made.replace((Rewrite(("m",), (Target("v1", 95), Target("v2", 5)), sticky, fallbacks),))
    return made


def test_a_session_or_else_a_user_keeps_its_target_on_every_replica_and_all_get_their_share():
    made, other = a_split(Sticky.SESSION), a_split(Sticky.SESSION)
    by_session = [made.target("m", {"x-session-id": f"s{number}"}, "u") for number in range(4000)]
    by_user = [made.target("m", {}, f"u{number}") for number in range(4000)]

    assert by_session == [other.target("m", {"x-session-id": f"s{number}"}, "v") for number in range(4000)]
    assert by_user == [other.target("m", {}, f"u{number}") for number in range(4000)]
    for targets in (by_session, by_user):
        assert 200 == pytest.approx(Counter(targets)["v2"], abs=50)
    assert {"v1", "v2"} == {made.target("m", {}) for _ in range(200)}  # nobody in particular: by lot


@pytest.mark.parametrize(("sticky", "targets"), [(Sticky.USER, 1), (Sticky.NONE, 2)])
def test_sessions_count_only_where_they_are_to(sticky: Sticky, targets: int):
    made = a_split(sticky)

    assert targets == len({made.target("m", {"x-session-id": f"s{number}"}, "u") for number in range(300)})


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        (("v1", "v2", "spare"), {"v1", "v2"}),
        (("v2", "spare", "last"), {"v2", "spare"}),
        (("last",), {"last"}),
        ((), {"v1", "v2"}),  # then the client is told of the target that it is not there
    ],
)
def test_while_a_target_is_not_served_the_first_fallback_that_is_takes_its_place(served, expected):
    made = a_split(Sticky.NONE, "spare", "last", served=served)

    assert expected == {made.target("m", {}) for _ in range(300)}


@given(st.dictionaries(st.text(), st.text() | st.integers(-(2**63), 2**63) | st.lists(st.text())), st.text(min_size=1))
def test_nothing_but_the_model_of_a_body_changes(unknown, model):
    fields = {f"x-{name}": value for name, value in unknown.items()} | {"model": "m", "prompt": '"model":"m"'}

    body = with_model(Operation.COMPLETIONS, "", orjson.dumps(fields), model)

    assert {**fields, "model": model} == orjson.loads(body)


def test_a_form_gets_the_model_and_keeps_every_other_byte():
    part = 'Content-Disposition: form-data; name="{}"\r\n\r\n{}'
    audio = part.format("file", "\0\r\n--y")
    parts = [part.format("model", "m"), audio, part.format("model", "m")]
    body = "\r\n".join(["preamble", *(f"--x\r\n{one}" for one in parts), "--x--", "epilogue"]).encode()
    assert "m" == parse_request(Operation.TRANSCRIPTIONS, FORM_TYPE, body).model

    changed = with_model(Operation.TRANSCRIPTIONS, FORM_TYPE, body, "v2")

    assert body.replace(b"\r\n\r\nm\r\n", b"\r\n\r\nv2\r\n") == changed
    assert "v2" == parse_request(Operation.TRANSCRIPTIONS, FORM_TYPE, changed).model


def test_a_body_in_which_the_model_cannot_be_found_is_refused():
    body = orjson.dumps({"messages": ["model"] * (MAX_MENTIONS + 1), "model": "m"})
    with pytest.raises(BadRequestError) as refusal:
        with_model(Operation.CHAT, "", body, "v2")
    assert "model" == refusal.value.param


@pytest.mark.parametrize(
    "body", [rb'{"mod\u0065l":"m"}', rb'{"\u006dodel" :"m","prompt":"p"}', rb'{"model":"m","\u006D\u006f\u0064el":"m"}']
)
def test_a_model_is_not_hidden_from_a_rewrite_by_a_key_with_escapes(body):
    assert "m" == parse_request(Operation.COMPLETIONS, "", body.replace(b"}", b',"prompt":"p"}')).model
    with pytest.raises(BadRequestError, match="without escapes") as refusal:
        with_model(Operation.COMPLETIONS, "", body, "v2")
    assert "model" == refusal.value.param


def test_text_with_escapes_is_no_key():
    body = rb'{"model":"m","prompt":["mod\u0065l","\"mod\u0065l\":"]}'
    assert body.replace(b'"m"', b'"v2"') == with_model(Operation.COMPLETIONS, "", body, "v2")


@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
@pytest.mark.parametrize("name", ["chat_stream_usage.http", "completion_stream_usage.http"])
def test_recorded_streams_name_the_model_that_was_asked_for(name, size):
    stream = recorded_body(name)
    assert b'"model":"tiny"' in stream

    shown = passed(EventModels('as"ked'), *split(stream, size))

    assert stream.replace(b'"model":"tiny"', rb'"model":"as\"ked"') == shown


@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
def test_a_recorded_answer_names_the_model_that_was_asked_for(size):
    answer = recorded_body("chat.http")
    assert 1 == answer.count(b'"model":"tiny"')

    assert answer.replace(b'"model":"tiny"', b'"model":"asked"') == passed(AnswerModel("asked"), *split(answer, size))


@pytest.mark.parametrize(
    "event",
    [
        b'event: message_start\ndata: {"type": "message_start", "message": {"id": 1, "model": "%b", "usage": {}}}\n\n',
        b'data: {"response":{"metadata":{"model":"t"},"model":"%b","output":[]},"type":"response.created"}\r\n\r\n',
        b'data:{"choices":[{"delta":{"content":"\\"model\\":\\"t\\""}}],"model":"%b"}\n\n',
    ],
)
def test_the_model_of_an_event_is_renamed_and_not_what_looks_like_it(event):
    assert event.replace(b"%b", b"asked") == passed(EventModels("asked"), event.replace(b"%b", b"t"))


@pytest.mark.parametrize(
    "event",
    [
        b"data: [DONE]\n\n",
        b': "model"\n\n',
        b'data: {"model":3}\n\n',
        b'data: {"delta":{"text":{"model":"t"}}}\n\n',
        b'data: {"model":\ndata: "t"}\n\n',
        b'data: {"model":"t',
    ],
)
def test_an_event_without_a_model_passes_unchanged(event):
    assert event == passed(EventModels("asked"), event)


@pytest.mark.parametrize(
    "answer", [b"", b"null", b'{"models":["model"]}', b'{"data":[{"model":"t"}]}', b'{"model":null}', b'{"model":"t']
)
def test_an_answer_without_a_model_comes_whole(answer):
    assert answer == passed(AnswerModel("asked"), *split(answer, 3))


def test_an_answer_passes_on_as_soon_as_its_model_is_known_and_is_not_held_for_ever():
    change = AnswerModel("asked")
    assert b'{"model":"asked","data":[' == change.feed(b'{"model":"t","data":[')
    assert b"1]}" == change.feed(b"1]}")

    change, text = AnswerModel("asked"), b'{"text":"' + b"x" * MAX_HELD_BYTES
    assert text == change.feed(text)


def test_the_work_grows_with_an_answer_and_not_with_its_pieces():
    answer = b'{"of":{"model":"t"},"text":"' + b"x" * MAX_HELD_BYTES
    begun_s = time.process_time()
    assert answer == passed(AnswerModel("asked"), *split(answer, 32))
    assert time.process_time() - begun_s < 5.0  # searching all that is held at every piece takes a minute


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
def test_events_that_begin_alike_are_renamed_together_and_other_models_stay(end: bytes):
    begins = b'data: {"id":"c-1","model":"engine","choices":['
    others = [b'data: {"metadata":{"model":"engine"}}', b'data: {"id":"c-2","model":"engine"}', b'data: "x"']
    stream = [begins + b"%d]}" % number for number in range(5)] + [begins + b'],"tool":{"model":"engine"}}', *others]
    renamed = [event.replace(b'"model":"engine"', b'"model":"asked"', 1) for event in stream]
    renamed[6] = others[0].replace(b'"engine"', b'"asked"')  # in an object just inside, as in `message_start`
    chunks = [b"".join(event + end for event in some) for some in (stream[:1], stream[1:4], stream[4:])]
    models = EventModels("asked")

    assert b"".join(event + end for event in renamed) == b"".join(map(models.feed, chunks)) + models.finish()
