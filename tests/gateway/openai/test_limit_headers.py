"""Rate-limit headers, as clients parse them."""

import pytest

from gateway.openai.limit_headers import LIMIT_HEADERS, duration, limit_headers
from ratelimit.kinds import (
    GROUP_KINDS,
    KEY_KINDS,
    MODEL_KINDS,
    MODEL_RPM,
    MODEL_TPM,
    RPM,
    TPM,
    USER_BUDGETS,
    USER_KINDS,
)
from ratelimit.limits import Quota


def test_every_header_of_a_user_with_both_limits():
    assert {
        "x-update-rpm": "1",
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "2",
        "x-ratelimit-reset-requests": "1m0s",
        "x-update-tpm": "266",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "734",
        "x-ratelimit-reset-tokens": "59.5s",
        "ratelimit-policy": '"rpm";q=3;w=60, "tpm";q=1000;w=60',
        "ratelimit": '"rpm";r=2;t=60, "tpm";r=734;t=60',
    } == limit_headers({RPM: Quota(3, 1, 60.0), TPM: Quota(1000, 266, 59.5)})


def test_every_header_that_may_be_sent_is_known():
    quotas = dict.fromkeys(USER_KINDS + MODEL_KINDS, Quota(3, 1, 60.0))

    assert set(LIMIT_HEADERS) == set(limit_headers(quotas))


def test_a_kind_without_a_limit_shows_only_its_use():
    headers = limit_headers({RPM: Quota(None, 1, 60.0), TPM: Quota(None, 5, 60.0)})
    assert {"x-update-rpm": "1", "x-update-tpm": "5"} == headers


def test_of_two_limits_of_a_kind_openai_has_room_for_the_tighter_and_the_ietf_for_both():
    model = {MODEL_RPM: Quota(9, 1, 60.0), MODEL_TPM: Quota(500, 266, 59.5)}
    headers = limit_headers({RPM: Quota(3, 1, 60.0), TPM: Quota(1000, 300, 60.0), **model})

    assert ("3", "500", "234") == tuple(
        headers[f"x-ratelimit-{name}"] for name in ("limit-requests", "limit-tokens", "remaining-tokens")
    )
    assert ("1", "300") == (headers["x-update-rpm"], headers["x-update-tpm"])
    assert '"rpm";r=2;t=60, "model-rpm";r=8;t=60, "tpm";r=700;t=60, "model-tpm";r=234;t=60' == headers["ratelimit"]
    headers = limit_headers({RPM: Quota(None, 1, 60.0), TPM: Quota(None, 1, 60.0), **model})
    assert "9" == headers["x-ratelimit-limit-requests"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-1, "0s"),
        (0.0201, "21ms"),
        (0.9991, "1s"),
        (1, "1s"),
        (59.517, "59.52s"),
        (60, "1m0s"),
        (361.5, "6m1.5s"),
    ],
)
def test_durations_read_as_openai_prints_them(seconds: float, text: str):
    assert text == duration(seconds)


def test_budgets_and_the_limits_of_key_and_group_are_policies_and_the_least_left_of_all_is_openais():
    day, cost_day, month, _ = USER_BUDGETS
    (_, key_tpm), (group_rpm, _) = KEY_KINDS, GROUP_KINDS
    quotas = {
        RPM: Quota(10, 1, 60.0), TPM: Quota(1000, 100, 60.0), key_tpm: Quota(150, 100, 60.0),
        group_rpm: Quota(3, 3, 30.0), day: Quota(500, 100, 3600.5), cost_day: Quota(2_500_000_000, 10**9, 3600.5),
        month: Quota(None, 100, 9.0),
    }  # fmt: skip

    headers = limit_headers(quotas)

    assert ("3", "0") == tuple(headers[f"x-ratelimit-{part}-requests"] for part in ("limit", "remaining"))
    assert ("150", "50") == tuple(headers[f"x-ratelimit-{part}-tokens"] for part in ("limit", "remaining"))
    assert (
        '"rpm";q=10;w=60, "group-rpm";q=3;w=60, "tpm";q=1000;w=60, "key-tpm";q=150;w=60, '
        '"budget-day";q=500;w=86400, "budget-cost_day";q=2500000;qu="micro";w=86400'
    ).replace("_", "-") == headers["ratelimit-policy"]
    assert '"budget-day";r=400;t=3601, "budget-cost-day";r=1500000;t=3601' in headers["ratelimit"]
