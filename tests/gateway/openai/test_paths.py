import pytest

from gateway.openai.errors import MethodNotAllowedError, UnknownPathError
from gateway.openai.paths import Operation, resolve

POSTED = sorted(set(Operation) - {Operation.MODELS, Operation.USAGE})


@pytest.mark.parametrize("operation", POSTED)
def test_every_path_that_engines_answer_is_posted_to(operation):
    assert operation is resolve("POST", operation.value)
    with pytest.raises(MethodNotAllowedError, match="answers only POST") as refused:
        resolve("GET", operation.value)
    assert "POST" == refused.value.allow


@pytest.mark.parametrize("operation", [Operation.MODELS, Operation.USAGE])
def test_what_the_gateway_answers_is_asked_for_with_get(operation):
    assert operation is resolve("GET", operation.value)
    with pytest.raises(MethodNotAllowedError, match="answers only GET"):
        resolve("POST", operation.value)


@pytest.mark.parametrize("query", ["?", "?api-version=1", "?a=/v1/models?b"])
def test_a_query_string_is_ignored(query):
    assert Operation.CHAT is resolve("POST", "/v1/chat/completions" + query)


@pytest.mark.parametrize(
    "path", ["", "/", "*", "/v1", "/v1/models/", "/v1/chat/completions/", "//v1/models", "/V1/models", "/v1/models%2F"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_anything_else_is_unknown_whatever_the_method(method, path):
    with pytest.raises(UnknownPathError):
        resolve(method, path)


def test_an_unknown_path_is_repeated_in_part_and_without_its_query():
    with pytest.raises(UnknownPathError) as refused:
        resolve("GET", "/" + "a" * 5000 + "?key=secret")

    assert len(refused.value.message) < 200
    assert "secret" not in refused.value.message
