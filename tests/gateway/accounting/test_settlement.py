"""The charge for every way in which a request can end."""

import json
from typing import Any

import pytest

from gateway.accounting.estimates import Estimator, OutputBounds, PromptSize
from gateway.accounting.outcomes import ObservedEnd, PodProof
from gateway.accounting.settlement import Estimate, Settlement, cost_of, settlement_for, used_as_reported
from gateway.accounting.stream_sizes import StreamShape
from gateway.config.limits import LimitSettings
from gateway.openai.engine_errors import EngineError
from gateway.openai.operations import Operation
from gateway.openai.usage import TokenUsage
from ratelimit.kinds import Amounts
from ratelimit.prices import Prices

ESTIMATE = Estimate(prompt_tokens=10, output_tokens=256, streams=True)
WHOLE = Estimate(prompt_tokens=10, output_tokens=256, streams=False)
CAPPED = Estimate(prompt_tokens=10, output_tokens=7, streams=True, bounds=OutputBounds(7, 1))
ESTIMATOR = Estimator(LimitSettings())


FAILED, WORKS = PodProof.FAILED, PodProof.WORKS


@pytest.mark.parametrize(
    ("estimate", "end", "expected"),
    [
        (ESTIMATE, ObservedEnd(200, TokenUsage(7, 9)), Settlement("ok", 16, 7, 9, WORKS)),
        (ESTIMATE, ObservedEnd(200, TokenUsage(7, 9), client_left=True), Settlement("cut", 16, 7, 9)),
        (ESTIMATE, ObservedEnd(), Settlement("unknown", 266)),
        (ESTIMATE, ObservedEnd(500), Settlement("upstream_error", 0, 0, 0, FAILED)),
        (ESTIMATE, ObservedEnd(503), Settlement("upstream_error", 0, 0, 0, FAILED)),
        (ESTIMATE, ObservedEnd(503, accepted=False), Settlement("upstream_error", 0, 0, 0, requests=0)),
        (ESTIMATE, ObservedEnd(400), Settlement("client_error", 0, 0, 0)),
        (ESTIMATE, ObservedEnd(0, client_left=True), Settlement("cut", 10, 10, 0)),
        (ESTIMATE, ObservedEnd(0, broken=True), Settlement("upstream_error", 10, 10, 0, FAILED)),
        (ESTIMATE, ObservedEnd(200, client_left=True, response_bytes=4_460), Settlement("cut", 30, 10, 20)),
        (ESTIMATE, ObservedEnd(200, client_left=True, output_chunks=3), Settlement("cut", 13, 10, 3)),
        (
            ESTIMATE,
            ObservedEnd(200, broken=True, response_bytes=400),
            Settlement("upstream_error", 11, 10, 1, FAILED),
        ),
        (WHOLE, ObservedEnd(200, response_bytes=9_999), Settlement("ok", 266, 10, 256, WORKS)),
        (
            ESTIMATE,
            ObservedEnd(200, TokenUsage(25, 1), client_left=True, response_bytes=4_460),
            Settlement("cut", 45, 25, 20),
        ),
        (
            ESTIMATE,
            ObservedEnd(200, TokenUsage(25, 9), client_left=True, response_bytes=4_460),
            Settlement("cut", 34, 25, 9),
        ),
        (ESTIMATE, ObservedEnd(200, TokenUsage(25)), Settlement("ok", 281, 25, 256, WORKS)),
        (ESTIMATE, ObservedEnd(200, TokenUsage(None, 9)), Settlement("ok", 19, 10, 9, WORKS)),
        (WHOLE, ObservedEnd(200, TokenUsage(None, 9)), Settlement("ok", 19, 10, 9, WORKS)),
        (CAPPED, ObservedEnd(200, client_left=True, response_bytes=99_999), Settlement("cut", 17, 10, 7)),
    ],
)
def test_a_settlement(estimate: Estimate, end: ObservedEnd, expected: Settlement):
    assert expected == settlement_for(estimate, PromptSize(0, 10), end, ESTIMATOR)


@pytest.mark.parametrize(
    ("produced", "tokens"),
    [
        ({"output_chunks": 2}, 12),
        ({"output_chunks": 0}, 0),
        ({"response_bytes": 215 * 6}, 15),
        ({"response_bytes": 215 * 2}, 0),  # the event that names the role, and the error
        ({"usage": TokenUsage(7, 9), "output_chunks": 0}, 16),
        ({"usage": TokenUsage(7, 0), "output_chunks": 0}, 0),
        ({}, 0),
    ],
)
def test_an_error_in_a_stream_is_charged_what_was_produced_before_it_and_else_no_tokens(
    produced: dict[str, Any], tokens: int
):
    end = ObservedEnd(200, error=EngineError.UNSAID, **produced)

    assert tokens == settlement_for(ESTIMATE, PromptSize(0, 10), end, ESTIMATOR).tokens


@pytest.mark.parametrize("text_bytes", [40, 100_000])
@pytest.mark.parametrize("events", [0, 5000])
def test_what_a_failed_responses_stream_repeats_of_the_request_is_no_output(text_bytes: int, events: int):
    response = {"id": "resp_1", "object": "response", "instructions": "x" * text_bytes, "tools": [], "metadata": {}}
    stream = "".join(
        f"event: response.{name}\ndata: {json.dumps({'response': response})}\n\n"
        for name in ("created", "in_progress", "failed")
    )
    end = ObservedEnd(200, error=EngineError.ENGINE, response_bytes=len(stream) + 215 * events)
    estimate = ESTIMATE._replace(shape=StreamShape(Operation.RESPONSES.path))

    settlement = settlement_for(estimate, PromptSize(text_bytes, 0), end, ESTIMATOR)

    assert (events > 0) == (settlement.tokens > events)


def test_a_prompt_that_nobody_counted_is_charged_as_it_likely_was_and_not_as_it_was_reserved():
    size = PromptSize(text_bytes=100, token_ids=0)
    reserved = Estimate(ESTIMATOR.prompt_tokens(size), output_tokens=256, streams=True)

    settlement = settlement_for(reserved, size, ObservedEnd(status=200, client_left=True, output_chunks=5), ESTIMATOR)

    assert (25 + 16, 25 + 7 + 5) == (reserved.prompt_tokens, settlement.tokens)


@pytest.mark.parametrize(
    ("end", "requests", "tokens"),
    [
        (ObservedEnd(200, TokenUsage(7, 9)), 1, 16),
        (ObservedEnd(200, TokenUsage(7, 900)), 1, 907),
        (ObservedEnd(200, TokenUsage(7, 9), client_left=True), 1, 16),
        (ObservedEnd(200, error=EngineError.ENGINE, usage=TokenUsage(7, 9)), 1, 16),
        (ObservedEnd(200, error=EngineError.ENGINE, usage=TokenUsage(7, 0)), 1, 0),
        (ObservedEnd(200, error=EngineError.ENGINE, usage=TokenUsage(7)), 1, 266),
        (ObservedEnd(200), 1, 266),
        (ObservedEnd(200, TokenUsage(7)), 1, 266),
        (ObservedEnd(200, TokenUsage(7, 1), client_left=True), 1, 266),  # no count of the output yet
        (ObservedEnd(0, client_left=True), 1, 266),
        (ObservedEnd(500), 1, 0),
        (ObservedEnd(400), 1, 0),
        (ObservedEnd(503, accepted=False), 0, 0),
    ],
)
def test_a_request_of_which_only_the_reservation_is_known_is_charged_what_was_reported(
    end: ObservedEnd, requests: int, tokens: int
):
    assert Amounts(requests, tokens) == used_as_reported(Amounts(1, 266), end)


def test_where_no_tokens_were_reserved_a_reported_usage_is_not_of_this_request():
    assert Amounts(1, 0) == used_as_reported(Amounts(1, 0), ObservedEnd(200, TokenUsage(7, 9)))


PRICES = Prices(input=1, output=10, cached_input=0.5)
RESERVED = Amounts(1, 100, 777)


@pytest.mark.parametrize(
    ("settlement", "usage", "cost"),
    [
        (Settlement("ok", 30, 20, 10), TokenUsage(20, 10, 4), 16 * 1000 + 4 * 500 + 10 * 10_000),
        (Settlement("ok", 30, 20, 10), None, 20 * 1000 + 10 * 10_000),
        (Settlement("ok", 30, 20, None), TokenUsage(20, None, reported_total=30), 20 * 1000 + 10 * 10_000),
        (Settlement("ok", 30, None, None), TokenUsage(reported_total=30), 30 * 10_000),
        (Settlement("unknown", 100), None, 777),
        (Settlement("failed", 0, 0, 0), None, 0),
    ],
)
def test_money_is_charged_for_the_tokens_that_are(settlement: Settlement, usage: TokenUsage | None, cost: int):
    assert cost == cost_of(settlement, usage, PRICES, RESERVED)


def test_whoever_settles_for_another_charges_by_the_prices_at_admission():
    end = ObservedEnd(status=200, usage=TokenUsage(20, 10, reported_total=30))

    assert Amounts(1, 30, 120_000) == used_as_reported(RESERVED, end, PRICES)
    assert RESERVED == used_as_reported(RESERVED, ObservedEnd(status=200), PRICES)
    assert Amounts(1, 0, 0) == used_as_reported(RESERVED, ObservedEnd(status=500, upstream="1.2.3.4:5"), PRICES)
