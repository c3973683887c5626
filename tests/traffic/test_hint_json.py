import json
from dataclasses import replace

import pytest

from tests.support.hints import a_hint
from traffic.hint import Hint
from traffic.hint_json import MAX_BYTES, parse, render


def fields(**changes: object) -> bytes:
    """The JSON of a hint of two outputs and three inputs, with some fields changed."""
    return json.dumps(json.loads(render(a_hint())) | changes).encode()


def test_what_is_written_is_read_back():
    hint = a_hint()

    assert hint == parse(render(hint))


def test_a_hint_is_written_as_the_contract_has_it():
    assert {
        "version": 7,
        "created": 1_700_000_000.5,
        "slo": {"ttft": 2.0},
        "indexes": [[32.0, 128.0], [256.0, 1024.0, 4096.0]],
        "replicas": {"l20": 3, "v100": 1},
        "share": [[{"l20": 1.0}, {"l20": 0.7, "v100": 0.3}, {"v100": 1.0}], [{"l20": 1.0}, {"v100": 1.0}, {}]],
        "in_share": [{"l20": 1.0}, {"l20": 0.55, "v100": 0.45}, {"v100": 1.0}],
        "throughput": {"l20": [[10.0, 2.0, 0.0], [5.0, 1.0, 0.0]], "v100": [[12.0, 8.0, 4.0], [6.0, 4.0, 0.0]]},
        "unserved": [[1, 2, 1.0]],
        "cost": 4.5,
    } == json.loads(render(a_hint()))


def test_only_what_the_contract_has_must_be_there_and_more_is_ignored():
    written = json.loads(render(a_hint()))
    bare = {key: written[key] for key in ("version", "created", "indexes", "replicas", "share", "in_share")}

    hint = parse(json.dumps(bare | {"note": "of a later version"}).encode())

    assert replace(a_hint(), throughput={}, unserved=(), slo=None, cost=0.0) == hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "truncated"),
        (b"\xff", "invalid"),
        (b"[" * 100_000, "Expected `object`"),
        (b'{"version":' + b"[" * 100_000, "Expected `int`"),
        (b"{}", "missing required field `version`"),
        (b" " * (MAX_BYTES + 1), "at most"),
        (fields(version=-1), "version`"),
        (fields(version="7"), "version`"),
        (fields(created=None), "created`"),
        (fields(indexes=[[32, 128]]), "indexes`"),
        (fields(indexes=[[32, 128], [256, 1024, 1024]]), r"indexes\[1\] must ascend"),
        (fields(indexes=[[32, 128], [0, 1024, 4096]]), r"`\$.indexes\[1\]"),
        (fields(indexes=[[32, 128], list(range(1, 300))]), "256"),
        (fields(share=[[{}, {}, {}]]), "share must have 2 rows .* of 3 cells"),
        (fields(share=[[{}, {}], [{}, {}, {}]]), "share must have 2 rows .* of 3 cells"),
        (fields(share=[[{"l20": 0.5}, {}, {}], [{}, {}, {}]]), r"share\[0\]\[0\] adds up to 0.5, must to 1"),
        (fields(share=[[{"l20": -1}, {}, {}], [{}, {}, {}]]), r"`\$.share"),
        (fields(in_share=[{}, {}]), "in_share must have 3 cells"),
        (fields(in_share=[{}, {}, {"l20": 0.9}]), r"in_share\[2\] adds up to 0.9"),
        (fields(throughput={"l20": [[1, 2, 3]]}), "throughput.l20 must have 2 rows"),
        (fields(throughput={"l20": [[1, 2, -3], [1, 2, 3]]}), r"`\$.throughput"),
        (fields(replicas={"": 1}), r"`\$.replicas"),
        (fields(replicas={"l20": 1.5}), r"`\$.replicas"),
        (fields(unserved=[[2, 0, 1.0]]), "unserved must name cells"),
    ],
    ids=lambda value: value if isinstance(value, str) else "text",
)
def test_what_is_no_hint_is_refused_in_a_sentence(text: bytes, message: str):
    with pytest.raises(ValueError, match=message):
        parse(text)


@pytest.mark.parametrize(
    "hint",
    [replace(a_hint(), cost=float("nan")), replace(a_hint(), in_share=()), a_hint(created_s=-1.0)],
    ids=["cost", "in_share", "created"],
)
def test_what_could_not_be_read_is_not_written(hint: Hint):
    with pytest.raises(ValueError, match="hint"):
        render(hint)
