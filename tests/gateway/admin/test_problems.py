"""The shape of the admin interface's errors."""

import orjson

from gateway.admin.problems import problem


def test_a_problem_has_the_message_twice_once_for_each_kind_of_client():
    answer = problem(415, "no", "unsupported_media_type", param="p", headers={"x-a": "b"})

    error = {"message": "no", "type": "invalid_request_error", "code": "unsupported_media_type", "param": "p"}
    assert {"message": "no", "error": error} == orjson.loads(answer.body)
    assert ("b", "application/json") == (answer.headers["x-a"], answer.headers["content-type"])


def test_our_own_faults_have_another_type():
    assert "api_error" == orjson.loads(problem(503, "away", "service_unavailable").body)["error"]["type"]
