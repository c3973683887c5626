"""Statuses and events: what people are told, and how often."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import msgspec
import pytest

from autoscaling.spec_reading import read
from controllers.podautoscaler.conditions import ABLE, ACTIVE, Said
from controllers.podautoscaler.objects import AUTOSCALERS, PodAutoscaler, ScalingDecision
from controllers.podautoscaler.reporting import Reporter
from controllers.podautoscaler.scaler import Step
from controllers.podautoscaler.statuses import REWORD_S
from controllers.problems import AGAIN_S
from kube.errors import ApiError
from kube.events import EVENTS, Recorder
from tests.support.kubernetes.autoscalers import an_autoscaler
from tests.support.kubernetes.conversation import ANY, Answer, Double, Exchange, Request, answer
from tests.support.kubernetes.hands import Hands
from tests.support.kubernetes.script import talking

STATUS = f"{AUTOSCALERS.path('default', 'a', 'status')}?fieldManager=forebay-test"
GONE = answer('{"code": 404}', status=404)


def an_object(**spec: Any) -> PodAutoscaler:
    document = an_autoscaler("a", **spec)
    document["metadata"] |= {"uid": "u", "generation": 3}
    return msgspec.convert(document, PodAutoscaler)


def written(told: Answer | None = None) -> Exchange:
    return Request("PATCH", STATUS, ANY, "application/merge-patch+json"), told or answer("{}")


def told() -> Exchange:
    return Request("POST", f"{EVENTS.path('default')}?fieldManager=forebay-test", ANY, "application/json"), answer("{}")


@asynccontextmanager
async def a_reporter(*exchanges: Exchange) -> AsyncIterator[tuple[Reporter, Hands, Double]]:
    hands = Hands()
    async with talking(exchanges) as (client, double):
        recorder = Recorder(client, "forebay-test", "i", clocks=hands.clocks(), rng=Random(1))
        yield Reporter(client, recorder, hands.clocks()), hands, double
    assert [] == double.unsaid


def bodies(double: Double, method: str) -> list[Any]:
    return [json.loads(request.body) for request in double.asked if request.method == method]


def a_change(*, success: bool = True) -> ScalingDecision:
    return ScalingDecision("2027-01-01T00:00:00Z", 1, 4, "KPA: 40 / 10", success, "" if success else "no")


async def test_a_status_is_written_when_it_changes_and_words_of_it_now_and_then():
    async with a_reporter(written(), written(), written()) as (reporter, hands, double):
        for after_s, message, desired in ((0, "1", 2), (1, "2", 2), (1, "3", 3), (1, "4", 3), (REWORD_S, "5", 3)):
            hands.now_s += after_s
            step = Step(2.0, {ACTIVE: Said("True", "MetricsAreThere", message)}, 1, desired)
            await reporter.report(an_object(), read(an_autoscaler()), step)

    words = [
        one["message"]
        for status in bodies(double, "PATCH")
        for one in status["status"]["conditions"]
        if one["type"] == ACTIVE
    ]
    assert ["1", "3", "5"] == words
    assert [2, 3, 3] == [one["status"]["desiredScale"] for one in bodies(double, "PATCH")]


async def test_a_change_of_replicas_is_an_event_and_history():
    async with a_reporter(told(), written()) as (reporter, _, double):
        await reporter.report(an_object(), None, Step(2.0, {}, 1, 4, a_change()))

    [event] = bodies(double, "POST")
    assert ("SuccessfulRescale", "Normal") == (event["reason"], event["type"])
    assert "New size: 4 instead of 1; KPA: 40 / 10" == event["note"]
    [status] = bodies(double, "PATCH")
    assert [4] == [one["newScale"] for one in status["status"]["scalingHistory"]]
    assert "2027-01-01T00:00:00Z" == status["status"]["lastScaleTime"]


async def test_a_change_that_failed_is_a_warning():
    async with a_reporter(told(), written()) as (reporter, _, double):
        await reporter.report(an_object(), None, Step(2.0, {}, 1, 4, a_change(success=False)))

    [event] = bodies(double, "POST")
    assert ("FailedRescale", "Warning", "4 instead of 1: no") == (event["reason"], event["type"], event["note"])


async def test_history_survives_a_status_that_could_not_be_written():
    refused = answer('{"code": 500, "message": "no"}', status=500)
    async with a_reporter(told(), written(refused), written()) as (reporter, _, double):
        with pytest.raises(ApiError, match="no"):
            await reporter.report(an_object(), None, Step(2.0, {}, 1, 4, a_change()))
        await reporter.report(an_object(), None, Step(2.0, {}, 1, 4))

    assert [1, 1] == [len(one["status"]["scalingHistory"]) for one in bodies(double, "PATCH")]


async def test_an_object_that_went_meanwhile_is_nothing_to_worry_about():
    async with a_reporter(written(GONE)) as (reporter, *_):
        await reporter.report(an_object(), None, Step(None, {}))


async def test_what_is_wrong_is_told_once_and_again_while_it_lasts():
    wrong = Step(2.0, {ABLE: Said("False", "FailedGetScale", "there is no d")}, 1, 2)
    async with a_reporter(written(), told(), written(), told_again()) as (reporter, hands, double):
        await reporter.report(an_object(), None, wrong)
        assert AGAIN_S == await reporter.tell()
        await reporter.report(an_object(), None, wrong)
        await reporter.tell()
        hands.now_s += AGAIN_S
        await reporter.tell()
        await reporter.report(an_object(), None, Step(2.0, {}, 1, 2))
        assert await reporter.tell() is None

    [event] = bodies(double, "POST")
    assert ("FailedGetScale", "Warning", "there is no d") == (event["reason"], event["type"], event["note"])


def told_again() -> Exchange:
    """The same event, told again."""
    path = f"{EVENTS.path('default')}/a.{Random(1).getrandbits(64):016x}?fieldManager=forebay-test"
    return Request("PATCH", path, ANY, "application/merge-patch+json"), answer("{}")


async def test_readings_that_surprise_are_told_and_are_a_condition():
    document = an_autoscaler("a")
    document["spec"]["metricsSources"][0] |= {"targetMetric": "gpu_cache_usage_perc", "targetValue": "50"}
    async with a_reporter(written(), told()) as (reporter, _, double):
        await reporter.report(an_object(), read(document), Step(2.0, {}))
        await reporter.tell()

    [event] = bodies(double, "POST")
    assert "percent" in event["note"]
    [status] = bodies(double, "PATCH")
    assert ["True"] == [one["status"] for one in status["status"]["conditions"] if one["type"] == "Warning"]


async def test_those_that_are_gone_are_forgotten():
    wrong = Step(2.0, {ABLE: Said("False", "FailedGetScale", "there is no d")})
    async with a_reporter(written()) as (reporter, *_):
        await reporter.report(an_object(), None, wrong)
        reporter.forget_others(set())
        assert await reporter.tell() is None
