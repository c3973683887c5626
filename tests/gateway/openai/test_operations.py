import pytest

from gateway.openai.errors import MethodNotAllowedError, UnknownPathError
from gateway.openai.operations import Operation, find_operation


@pytest.mark.parametrize("operation", Operation)
def test_an_operation_is_found_by_its_path_and_has_one_method(operation):
    assert operation is find_operation(operation.method, operation.path)
    with pytest.raises(MethodNotAllowedError, match=f"only allows {operation.method}") as refused:
        find_operation("PUT", operation.path)
    assert operation.method == refused.value.allow


def test_no_two_operations_share_a_path():
    assert len(Operation) == len({operation.path for operation in Operation})


@pytest.mark.parametrize("operation", Operation)
def test_an_operation_has_a_body_exactly_if_engines_answer_it(operation):
    answered_here = operation in (Operation.MODELS, Operation.USAGE)

    assert ("GET" if answered_here else "POST") == operation.method
    assert answered_here == (operation.body is None)


@pytest.mark.parametrize("query", ["?", "?api-version=1", "?a=/v1/models?b"])
def test_a_query_string_is_ignored(query):
    assert Operation.CHAT is find_operation("POST", "/v1/chat/completions" + query)


@pytest.mark.parametrize(
    "path", ["", "/", "*", "/v1", "/v1/models/", "/v1/chat/completions/", "//v1/models", "/V1/models", "/v1/models%2F"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_anything_else_is_unknown_whatever_the_method(method, path):
    with pytest.raises(UnknownPathError):
        find_operation(method, path)


def test_an_unknown_path_is_repeated_in_part_and_without_its_query():
    with pytest.raises(UnknownPathError) as refused:
        find_operation("GET", "/" + "a" * 5000 + "?key=secret")

    assert len(refused.value.message) < 200
    assert "secret" not in refused.value.message
