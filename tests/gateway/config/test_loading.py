"""Files become settings, or an error with everything that is wrong."""

import re

import pytest

from gateway.config.loading import ConfigurationError, load, load_models, load_with_models
from gateway.config.settings import EndpointSettings, ModelSettings, Settings
from tests.support.configuration import STRATEGIES, loaded, problems_of, written


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}", "redis:\nlimits:\n  output_tokens:\n"])
def test_silence_means_the_defaults(tmp_path, text):
    assert Settings() == loaded(tmp_path, text)


def test_the_file_of_the_contract_is_read(tmp_path):
    settings = loaded(
        tmp_path,
        """
        listen: {grpc: 127.0.0.1:1, http: 127.0.0.1:2, admin: "[::1]:3"}
        redis: {url: "redis://127.0.0.1:6379/0"}
        routing: {strategy: random}
        response_mode: ext_proc
        transport: grpc
        models:
          - name: m
            strategy: random
            endpoints: [{address: "127.0.0.1:8000", name: pod-a, gpu: L20, adapters: [lora], labels: {tier: "1"}}]
        """,
    )

    endpoint = EndpointSettings(
        address="127.0.0.1:8000", name="pod-a", gpu="L20", adapters=("lora",), labels={"tier": "1"}
    )
    assert (ModelSettings(name="m", strategy="random", endpoints=(endpoint,)),) == settings.models
    assert (settings.listen.grpc, settings.listen.admin) == ("127.0.0.1:1", "[::1]:3")
    assert (settings.routing.strategy, settings.response_mode, settings.transport) == ("random", "ext_proc", "grpc")


def test_the_old_name_of_a_value_is_still_read(tmp_path):
    assert "local" == loaded(tmp_path, "redis: {when_away: shadow}").redis.when_away


def test_an_unknown_key_names_the_nearest_known_one_and_its_path(tmp_path):
    assert problems_of(tmp_path, "limits: {output_token: 5}") == (
        "limits.output_token is unknown, did you mean output_tokens?",
    )
    assert problems_of(tmp_path, "models: [{name: m, endpoints: [{address: '1.1.1.1:1', pol: 1, gpus: a}]}]") == (
        "models[0].endpoints[0].pol is unknown, did you mean pool?",
        "models[0].endpoints[0].gpus is unknown, did you mean gpu?",
    )


def test_a_key_in_the_wrong_section_is_told_where_it_belongs(tmp_path):
    assert problems_of(tmp_path, "strategy: random") == ("strategy is unknown, did you mean routing.strategy?",)


def test_a_key_near_nothing_gets_the_list_of_known_ones(tmp_path):
    (problem,) = problems_of(tmp_path, "redis: {zzz: 1}")

    assert problem == "redis.zzz is unknown, known keys: cluster, timeout_s, url, when_away"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("redis: {timeout_s: -1}", "redis.timeout_s = -1, must be greater than 0"),
        ("redis: {when_away: maybe}", "redis.when_away = maybe, must be 'local', 'deny' or 'allow'"),
        ("redis: {when_away: [shadow]}", "redis.when_away = ['shadow'], must be 'local', 'deny' or 'allow'"),
        ("transport: pyvoy", "transport = pyvoy, must be 'http2' or 'grpc'"),
        ("anonymous: ''", "anonymous = '', must have at least 1 character"),
        ("drain_s: soon", "drain_s = soon, must be a number"),
        ("redis: 5", "redis = 5, must be a mapping"),
        ("models: {a: b}", "models = {a: b}, must be a list"),
        ("anonymous: 5", "anonymous = 5, must be text, in quotes if it looks like something else"),
        ("models: [{endpoints: []}]", "models[0].name is missing, it has no default"),
        ("listen: {http: nope}", "listen.http = nope, must be host:port with a port of 0 to 65535, IPv6 in brackets"),
    ],
)
def test_a_wrong_value_is_reported_as_key_value_rule(tmp_path, text, problem):
    assert (problem,) == problems_of(tmp_path, text)


@pytest.mark.parametrize("name", ["shadow", "local"])
def test_the_old_name_of_the_local_limits_is_accepted(tmp_path, name):
    assert "local" == loaded(tmp_path, f"redis: {{when_away: {name}}}").redis.when_away


def test_all_problems_are_reported_together_even_those_between_keys(tmp_path):
    problems = problems_of(
        tmp_path,
        """
        limits: {output_tokens: many}
        limits: {output_tokens: some}
        redis: {url: "${NOWHERE}"}
        listen: {admin: "0.0.0.0:8090"}
        routing: {strategy: least-requst}
        """,
    )

    assert list(problems) == [
        "line 3: limits is given twice, first on line 2",
        "redis.url = ${NOWHERE}, the environment variable NOWHERE is not set",
        "limits.output_tokens = some, must be a whole number",
        "listen.admin = 0.0.0.0:8090, must be a loopback address unless admin_token is set",
        "routing.strategy = least-requst, must be one of forebay, least-request, random; did you mean least-request?",
    ]


def test_a_wrong_section_is_not_accused_twice(tmp_path):
    """The token is there, only of the wrong type: the check that needs it must stay silent."""
    (problem,) = problems_of(tmp_path, "{admin_token: 5, listen: {admin: '0.0.0.0:1'}}")

    assert problem.startswith("admin_token = ***, must be text")


@pytest.mark.parametrize("text", ["- a", "just text", "[]"])
def test_a_file_that_is_not_a_mapping_is_an_error(tmp_path, text):
    (problem,) = problems_of(tmp_path, text)

    assert "must be a mapping of keys" in problem


def test_the_models_file_is_relative_to_the_configuration(tmp_path):
    assert str(tmp_path / "fleet.yaml") == loaded(tmp_path, "models_file: fleet.yaml").models_file
    assert loaded(tmp_path, "models_file: /etc/fleet.yaml").models_file == "/etc/fleet.yaml"


@pytest.mark.parametrize("text", ["[{name: '${M}'}]", "models: [{name: '${M}'}]"])
def test_a_models_file_is_a_list_or_a_mapping_with_models(tmp_path, text):
    assert (ModelSettings(name="m"),) == load_models(written(tmp_path, text), {"M": "m"}, STRATEGIES)


@pytest.mark.parametrize("text", ["[]", "models: []", "\ufeff[]"])
def test_a_models_file_may_say_that_there_are_no_models(tmp_path, text):
    assert load_models(written(tmp_path, text), {}, STRATEGIES) == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        *[(text, "has no list of models, must say []") for text in ("", " \n", "# m\n", "---\n", "~", "models:", "{}")],
        ("models: {}", "must be a list"),
        ("''", "must be a list"),
        ("\0\0\0\0", "not YAML"),
        ("- name: m\n  endpoints:\n", "must be a list"),
        ("- name: m\n  endpo", "not YAML"),
    ],
)
def test_a_models_file_that_lists_nothing_is_an_error_unless_it_says_so(tmp_path, text, problem):
    with pytest.raises(ConfigurationError, match=re.escape(problem)):
        load_models(written(tmp_path, text), {}, STRATEGIES)


def test_a_models_file_is_checked_like_the_rest(tmp_path):
    path = written(tmp_path, "{models: [{name: a}, {name: a, strategy: nope}], redis: {}}")

    with pytest.raises(ConfigurationError) as caught:
        load_models(path, {}, STRATEGIES)

    # The stray key makes no check of the models needless.
    assert list(caught.value.problems) == [
        "redis is unknown in a models file, did you mean models?",
        "models[1].strategy = nope, must be one of forebay, least-request, random",
        "models[1].name = a, must be unique, models[0] has it",
    ]


def test_a_models_file_of_another_kind_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="models = hello, must be a list"):
        load_models(written(tmp_path, "hello"), {}, STRATEGIES)


def test_the_models_of_a_models_file_are_put_in_place(tmp_path):
    written(tmp_path, "[{name: m}]", "fleet.yaml")

    with_file = load_with_models(written(tmp_path, "models_file: fleet.yaml"), {}, STRATEGIES)
    without = load_with_models(written(tmp_path, "models: [{name: n}]"), {}, STRATEGIES)

    assert (ModelSettings(name="m"),) == with_file.models
    assert (ModelSettings(name="n"),) == without.models


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        ("[{name: m, strategy: nope}]", "models[0].strategy = nope, must be one of forebay, least-request, random"),
        ("[{nam: m}]", "models[0].name is missing, it has no default"),
        ("[", "not YAML, line 2: expected the node content, but found '<stream end>'"),
    ],
)
def test_the_problems_of_both_files_are_reported_together_each_with_its_file(tmp_path, models, problem):
    fleet = written(tmp_path, models + "\n", "fleet.yaml")
    file = written(tmp_path, "{models_file: fleet.yaml, redis: {timeout_s: -1}, reids: {}}")

    with pytest.raises(ConfigurationError) as caught:
        load_with_models(file, {}, STRATEGIES)

    assert f"{file}: redis.timeout_s = -1, must be greater than 0" in caught.value.problems
    assert f"{file}: reids is unknown, did you mean redis?" in caught.value.problems
    assert f"{fleet}: {problem}" in caught.value.problems
    assert {str(file), str(fleet)} == {line.partition(": ")[0] for line in caught.value.problems}


def test_a_models_file_beside_models_is_not_read(tmp_path):
    file = written(tmp_path, "{models_file: absent.yaml, models: [{name: m}]}")

    with pytest.raises(ConfigurationError) as caught:
        load_with_models(file, {}, STRATEGIES)

    assert (f"{file}: models_file = absent.yaml, must be empty when models are given here",) == caught.value.problems


def test_the_error_reads_as_one_line(tmp_path):
    with pytest.raises(ConfigurationError, match=r"^.*: no such file$"):
        load(tmp_path / "absent.yaml", {}, STRATEGIES)
