"""YAML, environment references and the original's environment names."""

import pytest

from gateway.config.loading import ConfigurationError, load
from gateway.config.settings import RedisSettings
from tests.support.configuration import STRATEGIES, loaded, problems_of


def test_references_become_the_variable_or_the_default(tmp_path):
    settings = loaded(
        tmp_path,
        """
        anonymous: "${WHO}"
        admin_token: "a-${PART}-${NOTHING:-b}-${EMPTY:-c}"
        health: {path: "/$${WHO}$5"}
        limits: {output_tokens: "${COUNT}"}
        """,
        {"WHO": "deny", "PART": "x", "EMPTY": "", "COUNT": "7"},
    )

    assert (settings.anonymous, settings.admin_token) == ("deny", "a-x-b-c")
    assert (settings.health.path, settings.limits.output_tokens) == ("/${WHO}$5", 7)


def test_references_are_expanded_inside_lists_and_labels(tmp_path):
    text = "models: [{name: m, endpoints: [{address: '${IP}:1', adapters: ['${A}'], labels: {zone: '${A}'}}]}]"

    (endpoint,) = loaded(tmp_path, text, {"IP": "10.0.0.1", "A": "a"}).models[0].endpoints

    assert (endpoint.address, endpoint.adapters, endpoint.labels) == ("10.0.0.1:1", ("a",), {"zone": "a"})


def test_a_variable_is_not_expanded_again(tmp_path):
    assert loaded(tmp_path, "anonymous: ${A}", {"A": "${B}", "B": "deny"}).anonymous == "${B}"


@pytest.mark.parametrize("reference", ["${}", "${1A}", "${A", "${A:b}", "${A-b}"])
def test_a_malformed_reference_is_an_error(tmp_path, reference):
    (problem,) = problems_of(tmp_path, f"anonymous: '{reference}'", {"A": "a"})

    assert f"anonymous = {reference}, an environment reference is ${{NAME}} or ${{NAME:-default}}" == problem


def test_an_undefined_variable_is_named_with_its_key(tmp_path):
    assert problems_of(tmp_path, "models: [{name: '${MODEL}'}]") == (
        "models[0].name = ${MODEL}, the environment variable MODEL is not set",
    )


@pytest.mark.parametrize("text", ["a: 1\na: 2", "{a: 1, a: 2}", "x: {a: 1, a: 2}"])
def test_a_key_given_twice_is_an_error(tmp_path, text):
    assert any("a is given twice, first on line 1" in problem for problem in problems_of(tmp_path, text))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a: [1", "not YAML, line 1"),
        (b"\xff", "not YAML"),
        (b"a: \x00", "not YAML"),
        (b"d: 2024-99-99", "not YAML"),
        (b"a: !!python/object:os.system x", "not YAML, line 1"),
        (b"a: 1\n---\nb: 2", "not YAML"),
    ],
)
def test_what_is_not_plain_yaml_is_an_error(tmp_path, content, why):
    path = tmp_path / "forebay.yaml"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError) as caught:
        load(path, {}, STRATEGIES)

    assert caught.value.problems[0].startswith(f"{path}: {why}")


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path, {}, STRATEGIES)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"REDIS_HOST": "cache"}, "redis://cache:6379/0"),
        ({"REDIS_HOST": "fd00::1", "REDIS_PORT": "7000"}, "redis://[fd00::1]:7000/0"),
        ({"REDIS_PORT": "7000"}, "redis://127.0.0.1:7000/0"),
        ({"REDIS_HOST": "cache", "REDIS_PASSWORD": "a/b@c"}, "redis://:a%2Fb%40c@cache:6379/0"),
        ({"REDIS_HOST": ""}, RedisSettings().url),
    ],
)
def test_redis_names_of_the_environment_replace_the_default(tmp_path, environ, url):
    assert url == loaded(tmp_path, "redis: {timeout_s: 1}", environ).redis.url


def test_the_file_beats_the_environment(tmp_path):
    environ = {"REDIS_HOST": "cache", "REDIS_PORT": "tcp://10.0.0.1:6379", "ROUTING_ALGORITHM": "random"}

    settings = loaded(tmp_path, "{redis: {url: 'redis://file'}, routing: {strategy: least-request}}", environ)

    assert (settings.redis.url, settings.routing.strategy) == ("redis://file", "least-request")


def test_the_routing_algorithm_of_the_environment_replaces_the_default_and_is_checked(tmp_path):
    assert loaded(tmp_path, "", {"ROUTING_ALGORITHM": "random"}).routing.strategy == "random"
    (problem,) = problems_of(tmp_path, "", {"ROUTING_ALGORITHM": "nope"})
    assert problem.startswith("routing.strategy = nope, must be one of")


def test_a_bad_port_in_the_environment_is_an_error_without_the_password(tmp_path):
    (problem,) = problems_of(tmp_path, "", {"REDIS_PORT": "tcp://10.0.0.1:6379", "REDIS_PASSWORD": "hush"})

    assert "must have a port of 1 to 65535" in problem
    assert "hush" not in problem
