"""The table of outcomes, row by row; on real parts in tests/e2e/shared_stack/test_how_requests_end.py."""

import pytest

from gateway.accounting.outcomes import Charged, ObservedEnd, PodProof, verdict
from gateway.openai.engine_errors import EngineError
from gateway.openai.usage import TokenUsage

FAILED, WORKS, SAYS_NOTHING = PodProof.FAILED, PodProof.WORKS, PodProof.NOTHING
NOTHING, REQUEST, PRODUCED, USED = Charged.NOTHING, Charged.REQUEST, Charged.PRODUCED, Charged.USED


@pytest.mark.parametrize(
    ("end", "outcome", "charged", "pod"),
    [
        (ObservedEnd(), "unknown", USED, SAYS_NOTHING),
        (ObservedEnd(503, accepted=False, from_pod=False), "upstream_error", NOTHING, SAYS_NOTHING),
        (ObservedEnd(503, accepted=False, from_pod=False, broken=True), "upstream_error", NOTHING, SAYS_NOTHING),
        (ObservedEnd(504, accepted=False, from_pod=False, timed_out=True), "upstream_error", NOTHING, SAYS_NOTHING),
        (ObservedEnd(413, accepted=False, from_pod=False), "client_error", NOTHING, SAYS_NOTHING),
        (ObservedEnd(0, accepted=False, from_pod=False, client_left=True), "cut", NOTHING, SAYS_NOTHING),
        (ObservedEnd(200, error=EngineError.CALLER), "client_error", PRODUCED, SAYS_NOTHING),
        (ObservedEnd(200, error=EngineError.UNSAID), "upstream_error", PRODUCED, SAYS_NOTHING),
        (ObservedEnd(200, error=EngineError.ENGINE), "upstream_error", PRODUCED, FAILED),
        (ObservedEnd(200, error=EngineError.CALLER, broken=True), "client_error", PRODUCED, SAYS_NOTHING),
        (ObservedEnd(200, error=EngineError.ENGINE, client_left=True), "upstream_error", PRODUCED, FAILED),
        (ObservedEnd(200, broken=True), "upstream_error", USED, FAILED),
        (ObservedEnd(200, timed_out=True), "upstream_error", USED, SAYS_NOTHING),
        (ObservedEnd(503, broken=True, from_pod=False), "upstream_error", REQUEST, FAILED),
        (ObservedEnd(504, timed_out=True, from_pod=False), "upstream_error", REQUEST, FAILED),
        (ObservedEnd(408, timed_out=True, from_pod=False), "client_error", REQUEST, SAYS_NOTHING),
        (ObservedEnd(400), "client_error", REQUEST, SAYS_NOTHING),
        (ObservedEnd(400, error=EngineError.ENGINE), "client_error", REQUEST, SAYS_NOTHING),
        (ObservedEnd(429, client_left=True), "client_error", REQUEST, SAYS_NOTHING),
        (ObservedEnd(500), "upstream_error", REQUEST, FAILED),
        (ObservedEnd(500, error=EngineError.CALLER), "upstream_error", REQUEST, FAILED),
        (ObservedEnd(501), "upstream_error", REQUEST, SAYS_NOTHING),
        (ObservedEnd(500, from_pod=False), "upstream_error", REQUEST, SAYS_NOTHING),
        (ObservedEnd(0, client_left=True), "cut", USED, SAYS_NOTHING),
        (ObservedEnd(200, TokenUsage(7, 9), client_left=True), "cut", USED, SAYS_NOTHING),
        (ObservedEnd(200, TokenUsage(7, 9)), "ok", USED, WORKS),
        (ObservedEnd(201), "ok", USED, WORKS),
    ],
)
def test_an_end_has_one_row(end: ObservedEnd, outcome: str, charged: Charged, pod: PodProof):
    assert (outcome, charged, pod) == verdict(end)


def test_what_passed_through_the_gateway_is_counted_and_envoy_says_how_it_ended():
    seen = ObservedEnd(0, TokenUsage(7), EngineError.UNSAID, client_left=True, output_chunks=3, upstream="10.0.0.2:1")
    logged = ObservedEnd(200, broken=True, response_bytes=900, upstream="10.0.0.1:1")

    assert ObservedEnd(
        200,
        TokenUsage(7),
        EngineError.UNSAID,
        broken=True,
        response_bytes=900,
        output_chunks=3,
        upstream="10.0.0.1:1",
    ) == logged.with_seen(seen)
