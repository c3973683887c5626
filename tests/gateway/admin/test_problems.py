"""The shape of the admin interface's errors."""

import orjson
from starlette.requests import Request

from gateway.admin.problems import on_malformed, problem
from ratelimit.limits import MalformedUserError


def test_a_problem_has_the_message_twice_once_for_each_kind_of_client():
    answer = problem(415, "no", "unsupported_media_type", param="p", headers={"x-a": "b"})

    error = {"message": "no", "type": "invalid_request_error", "code": "unsupported_media_type", "param": "p"}
    assert {"message": "no", "error": error} == orjson.loads(answer.body)
    assert ("b", "application/json") == (answer.headers["x-a"], answer.headers["content-type"])


def test_our_own_faults_have_another_type():
    assert "api_error" == orjson.loads(problem(503, "away", "service_unavailable").body)["error"]["type"]


async def test_a_record_that_cannot_be_read_is_said_to_be_broken():
    answer = await on_malformed(Request({"type": "http"}), MalformedUserError("lgy"))

    error = orjson.loads(answer.body)["error"]
    assert (500, "broken_user", "name") == (answer.status_code, error["code"], error["param"])
    assert "User: lgy" in error["message"]
