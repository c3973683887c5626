"""Events that cannot be written.  What the server keeps is in tests/contract/kube."""

import json
from random import Random

import pytest
import structlog

from kube import events
from kube.events import EVENTS, About, Recorder
from kube.objects import Metadata
from tests.support.kubernetes.conversation import ANY, Request, answer
from tests.support.kubernetes.hands import Hands
from tests.support.kubernetes.maps import CONFIG_MAPS
from tests.support.kubernetes.script import talking

ABOUT = About(CONFIG_MAPS, Metadata("a", "n", uid="u1"))


async def test_an_event_that_cannot_be_written_is_logged_and_tried_anew():
    async with talking([]) as (client, double):
        recorder = Recorder(client, "forebay.io/routes", "pod-1", clocks=Hands().clocks(), rng=Random(1))
        with structlog.testing.capture_logs() as logs:
            await recorder.tell(ABOUT, "Routed", "two pods")
            await recorder.tell(ABOUT, "Routed", "two pods")

    assert ["POST", "POST"] == [request.method for request in double.asked]
    assert {"/apis/events.k8s.io/v1/namespaces/n/events?fieldManager=forebay-test"} == {r.target for r in double.asked}
    assert [("kube_event_lost", "n/a", "Routed")] * 2 == [(e["event"], e["about"], e["reason"]) for e in logs]


async def test_an_event_of_a_cluster_wide_object_is_in_the_default_namespace():
    async with talking([]) as (client, double):
        recorder = Recorder(client, "forebay.io/routes", "pod-1", clocks=Hands().clocks(), rng=Random(1))
        await recorder.tell(About(EVENTS, Metadata("node-a", uid="u2")), "Seen", "")

    assert "/namespaces/default/" in double.asked[0].target


async def test_the_same_reason_with_another_note_is_another_event():
    writes = Request(
        "POST", "/apis/events.k8s.io/v1/namespaces/n/events?fieldManager=forebay-test", ANY, "application/json"
    )
    async with talking([(writes, answer("{}"))] * 2) as (client, double):
        recorder = Recorder(client, "forebay.io/routes", "pod-1", clocks=Hands().clocks(), rng=Random(1))
        for note in ("path 'a'", "path 'b'", "path 'a'"):
            await recorder.tell(ABOUT, "BadPath", note)

    assert ["path 'a'", "path 'b'"] == [json.loads(request.body)["note"] for request in double.asked]


async def test_what_is_told_again_and_again_is_not_forgotten_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "REMEMBERED", 2)
    async with talking([]) as (client, double):
        recorder = Recorder(client, "forebay.io/routes", "pod-1", clocks=Hands().clocks(), rng=Random(1))
        for uid in ("u1", "u2"):
            recorder._remember((uid, "Normal", "Routed", "two pods"), ABOUT)
        await recorder.tell(ABOUT, "Routed", "two pods")
        recorder._remember(("u3", "Normal", "Routed", "two pods"), ABOUT)
        await recorder.tell(ABOUT, "Routed", "two pods")

        assert ["u3", "u1"] == [uid for uid, *_ in recorder._told]
    assert [] == double.asked


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "REMEMBERED", 2)
    async with talking([]) as (client, _):
        recorder = Recorder(client, "forebay.io/routes", "pod-1", clocks=Hands().clocks(), rng=Random(1))
        for number in range(5):
            recorder._remember((f"u{number}", "Normal", "Routed", "two pods"), ABOUT)

        assert 2 == len(recorder._told)
