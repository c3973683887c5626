"""A minute waited out: `retry-after` names the moment, not before and not after it."""

import time

import pytest

from tests.support.stack import PATIENT, Stack, on_the_default


@on_the_default
@pytest.mark.timeout(180)
def test_retry_after_is_true(stack: Stack):
    """The minute began with the stack, so that other tests run while it passes."""
    refused = stack.chat(PATIENT, max_tokens=1)
    if refused.status_code == 200:  # it is over already: the next one begins
        refused = stack.chat(PATIENT, max_tokens=1)
    due_s = time.monotonic() + int(refused.headers["retry-after"])

    time.sleep(max(0.0, due_s - 2.5 - time.monotonic()))
    early_s, early = time.monotonic(), stack.chat(PATIENT, max_tokens=1)
    time.sleep(max(0.0, due_s - time.monotonic()))
    late = stack.chat(PATIENT, max_tokens=1)

    assert 200 == late.status_code
    if early_s < due_s - 2:  # on a machine that slept through it there is nothing to see
        assert (429, True) == (early.status_code, 1 <= int(early.headers["retry-after"]) <= 3)
