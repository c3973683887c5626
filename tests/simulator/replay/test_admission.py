import pytest

from ratelimit.limits import User
from simulator.replay.admission import Admission, assign_users, parse_users
from tests.support.fleet_replay import a_request


def test_users_are_read_with_the_limits_they_have():
    assert {"a": User("a", 3, 100), "b": User("b", None, 0), "*": User("*", 5)} == parse_users(
        "a:rpm=3:tpm=100,b:tpm=0,*:rpm=5"
    )


def test_an_empty_text_has_no_users():
    assert {} == parse_users("")


@pytest.mark.parametrize("text", ["a:3", "a:rpm=x", "a:rps=3", "a:rpm=3:rpm=4", "a:rpm=-1"])
def test_a_limit_that_cannot_be_read_is_named(text: str):
    with pytest.raises(ValueError, match=f"user = '{text}', must be NAME"):
        parse_users(text)


def test_everybody_else_has_a_window_of_their_own():
    admission = Admission(parse_users("a,*:rpm=1"), output_tokens=1)
    asked = [admission.reserve(a_request(user=user), 0.0)[0] for user in "aabbcc"]

    assert ["", "", "", "rpm", "", "rpm"] == asked


def test_a_user_who_is_not_named_has_no_limits():
    admission = Admission(parse_users("a:rpm=0"), output_tokens=1)

    assert ("rpm", "") == (
        admission.reserve(a_request(user="a"), 0.0)[0],
        admission.reserve(a_request(user="b"), 0.0)[0],
    )


def test_requests_without_a_user_are_dealt_to_the_named_ones_in_turn():
    trace = [a_request(), a_request(user="x"), a_request(), a_request()]

    assert ["a", "x", "b", "a"] == [request.user for request in assign_users(trace, ["a", "*", "b"])]
    assert ["", "x", "", ""] == [request.user for request in assign_users(trace, ["*"])]


def test_requests_without_a_user_share_the_limits_of_everybody():
    admission = Admission(parse_users("*:rpm=1"), output_tokens=1)

    assert ["", "rpm"] == [admission.reserve(a_request(), 0.0)[0] for _ in range(2)]
