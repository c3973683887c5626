import pytest

from gateway.openai.errors import MethodNotAllowedError, UnknownPathError
from gateway.openai.operations import Operation, find_operation, forwarded_target, model_in_path

ANSWERED_HERE = {
    Operation.MODELS, Operation.MODEL, Operation.USAGE, Operation.HEALTH, Operation.PING, Operation.PING_BY_POST,
    Operation.VERSION,
}  # fmt: skip
_CONTROLS = """
    /metrics /load /server_info /is_sleeping /sleep /wake_up /pause /resume /is_paused /reset_prefix_cache
    /reset_mm_cache /reset_encoder_cache /collective_rpc /init_weight_transfer_engine /update_weights
    /get_world_size /scale_elastic_ep /is_scaling_elastic_ep /start_profile /stop_profile /v1/load_lora_adapter
    /v1/unload_lora_adapter /load_lora_adapter /unload_lora_adapter /abort_requests /abort_request /flush_cache
    /clear_hicache_storage_backend /attach_hicache_storage_backend /get_server_info /get_model_info /model_info
    /get_weight_version /get_load /v1/loads /set_internal_state /health_generate /generate_from_file /freeze_gc
    /start_expert_distribution_record /stop_expert_distribution_record /dump_expert_distribution_record
    /update_weights_from_disk /init_weights_send_group_for_remote_instance /send_weights_to_remote_instance
    /init_weights_update_group /destroy_weights_update_group /update_weights_from_tensor
    /update_weights_from_distributed /update_weights_from_ipc /update_weight_version /get_weights_by_name
    /release_memory_occupation /resume_memory_occupation /slow_down /open_session /close_session
    /configure_logging /pause_generation /continue_generation /set_trace_level /vertex_generate /docs /redoc
    /openapi.json /sim/fault /v1 / * /v1/realtime
"""
CONTROLS = _CONTROLS.split()
"""The paths of vLLM and SGLang for those who run them, and those that show their insides."""


def an_instance(operation):
    """A path of this operation."""
    return operation.path.replace("{id}", "resp_0a-1").replace("{model}", "org/name")


@pytest.mark.parametrize("operation", Operation)
def test_an_operation_is_found_by_its_method_and_its_path(operation):
    path = an_instance(operation)

    for target in (path, path + "/", path + "?", path + "?a=/v1/models?b", path + "/?a=b/"):
        assert operation is find_operation(operation.method, target)


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "get", "PATCH", "CONNECT", ""])
def test_other_methods_are_told_which_a_path_has(operation, method):
    with pytest.raises(MethodNotAllowedError) as refused:
        find_operation(method, an_instance(operation))

    others = {other.method for other in Operation if other.path == operation.path}
    assert others <= set(refused.value.allow.split(", ")) <= others | {"HEAD"}
    assert f"only allows {refused.value.allow}" in refused.value.message


def test_no_two_operations_share_method_and_path():
    assert len(Operation) == len({(operation.method, operation.path) for operation in Operation})


def test_an_operation_has_a_body_format_exactly_if_engines_answer_it():
    assert {operation for operation in Operation if operation.body is None} == ANSWERED_HERE


@pytest.mark.parametrize("operation", Operation)
def test_head_asks_for_what_the_gateway_answers_to_get(operation):
    if operation in ANSWERED_HERE:
        assert find_operation("GET", an_instance(operation)) is find_operation("HEAD", an_instance(operation))
    else:
        with pytest.raises(MethodNotAllowedError):
            find_operation("HEAD", an_instance(operation))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", CONTROLS)
def test_an_engines_controls_are_unknown_whatever_the_method(path, method):
    for target in (path, path + "/", path + "?a=b"):
        with pytest.raises(UnknownPathError):
            find_operation(method, target)


@pytest.mark.parametrize(
    "path",
    [
        "", "//v1/models", "/V1/models", "/v1//models", "/v1/models%2F", "/v1/chat%2Fcompletions",
        "/v1/responses//cancel", "/v1/responses/.", "/v1/responses/..", "/v1/responses/a%2Fb",
        "/v1/responses/..%2f..%2fsleep", "/v1/responses/a/b", "/v1/responses/a/cancel/b", "/v1/responses/{id}/x",
        "/v1/responses/a\n", "/v1/responses/%2e%2e", "/v1/chat/completions//", "/openai/v1/chat/completions",
        "/chat/completions",
    ],
)  # fmt: skip
def test_anything_else_is_unknown(path):
    for method in ("POST", "DELETE"):
        with pytest.raises((UnknownPathError, MethodNotAllowedError)):
            find_operation(method, path)


def test_an_unknown_path_is_repeated_in_part_and_without_its_query():
    with pytest.raises(UnknownPathError) as refused:
        find_operation("GET", "/" + "a" * 5000 + "?key=secret")

    assert len(refused.value.message) < 200
    assert "secret" not in refused.value.message


def test_an_engine_gets_the_path_without_a_trailing_slash_and_with_the_query():
    assert "/v1/embeddings?a=/" == forwarded_target("/v1/embeddings/?a=/")
    assert "/v1/embeddings" == forwarded_target("/v1/embeddings")
    assert "/v1/embeddings?" == forwarded_target("/v1/embeddings?")


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("org/name", "org/name"),
        ("org%2Fname", "org/name"),
        ("org%2fname/?x=y", "org/name"),
        ("a%20b", "a b"),
        ("m", "m"),
    ],
)
def test_a_model_in_a_path_may_have_slashes(path, model):
    assert model == model_in_path("/v1/models/" + path)
