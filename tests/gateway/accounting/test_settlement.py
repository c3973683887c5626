"""What is charged, for every way a request can end."""

import pytest

from gateway.accounting.estimates import Estimator, PromptSize
from gateway.accounting.settlement import Estimate, ObservedEnd, Settlement, settlement_for
from gateway.config.settings import LimitSettings
from gateway.openai.usage import TokenUsage

ESTIMATE = Estimate(prompt_tokens=10, output_tokens=256, streams=True)
WHOLE = Estimate(prompt_tokens=10, output_tokens=256, streams=False)
ESTIMATOR = Estimator(LimitSettings())


@pytest.mark.parametrize(
    ("estimate", "end", "expected"),
    [
        (ESTIMATE, ObservedEnd(200, TokenUsage(7, 9)), Settlement("ok", 16, 7, 9)),
        (ESTIMATE, ObservedEnd(200, TokenUsage(7, 9), client_left=True), Settlement("cut", 16, 7, 9)),
        (ESTIMATE, ObservedEnd(), Settlement("unknown", 266)),
        (ESTIMATE, ObservedEnd(500), Settlement("upstream_error", 0, failed=True)),
        (ESTIMATE, ObservedEnd(503), Settlement("upstream_error", 0, failed=True)),
        (ESTIMATE, ObservedEnd(400), Settlement("client_error", 0)),
        (ESTIMATE, ObservedEnd(0, client_left=True), Settlement("cut", 10, 10, 0)),
        (ESTIMATE, ObservedEnd(0), Settlement("cut", 0)),
        (ESTIMATE, ObservedEnd(200, client_left=True, response_bytes=4_300), Settlement("cut", 30, 10, 20)),
        (ESTIMATE, ObservedEnd(200, client_left=True, output_chunks=3), Settlement("cut", 13, 10, 3)),
        (
            ESTIMATE,
            ObservedEnd(200, error_code=500, output_chunks=2),
            Settlement("upstream_error", 12, 10, 2, failed=True),
        ),
        (
            ESTIMATE,
            ObservedEnd(200, truncated=True, response_bytes=215),
            Settlement("upstream_error", 11, 10, 1, failed=True),
        ),
        (WHOLE, ObservedEnd(200, response_bytes=9_999), Settlement("ok", 266, 10, 256)),
    ],
)
def test_a_settlement(estimate: Estimate, end: ObservedEnd, expected: Settlement):
    assert expected == settlement_for(estimate, PromptSize(0, 10), end, ESTIMATOR)


def test_a_prompt_that_nobody_counted_is_charged_as_it_likely_was_and_not_as_it_was_reserved():
    size = PromptSize(text_bytes=100, token_ids=0)
    reserved = Estimate(ESTIMATOR.prompt_tokens(size), output_tokens=256, streams=True)

    settlement = settlement_for(reserved, size, ObservedEnd(status=200, client_left=True, output_chunks=5), ESTIMATOR)

    assert (25 + 16, 25 + 7 + 5) == (reserved.prompt_tokens, settlement.tokens)
