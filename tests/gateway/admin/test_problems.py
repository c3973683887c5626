"""The error answers of the admin REST."""

import orjson
from starlette.requests import Request

from gateway.admin.problems import on_malformed
from gateway.observability.http import problem
from ratelimit.limits import MalformedUserError


def test_an_error_has_its_message_for_clients_of_aibrix_and_of_openai():
    answer = problem(415, "no", "unsupported_media_type", param="p", headers={"x-a": "b"})

    error = {"message": "no", "type": "invalid_request_error", "code": "unsupported_media_type", "param": "p"}
    assert {"message": "no", "error": error} == orjson.loads(answer.body)
    assert ("b", "application/json") == (answer.headers["x-a"], answer.headers["content-type"])


def test_errors_of_the_server_have_another_type():
    assert "api_error" == orjson.loads(problem(503, "away", "service_unavailable").body)["error"]["type"]


async def test_a_malformed_record_is_broken_user():
    answer = await on_malformed(Request({"type": "http"}), MalformedUserError("lgy"))

    error = orjson.loads(answer.body)["error"]
    assert (500, "broken_user", "name") == (answer.status_code, error["code"], error["param"])
    assert "User: lgy" in error["message"]
