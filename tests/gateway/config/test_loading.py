"""Files become settings, or an error with everything that is wrong."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gateway.config.certificates import envoy_file_problems
from gateway.config.loading import ConfigurationError, load, load_models, load_with_models
from gateway.config.schema import sections
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


def keys_with_numbers() -> Iterator[str]:
    for path, section in sections():
        for name, key in section["properties"].items():
            if {"integer", "number"} & {each.get("type") for each in (key, *key.get("anyOf", ()))}:
                yield f"{path}.{name}".lstrip(".")


@pytest.mark.parametrize("key", list(keys_with_numbers()))
def test_true_is_not_the_number_1(tmp_path, key):
    value: object = True
    for step in reversed(key.split(".")):
        value = {step.removesuffix("[]"): [value] if step.endswith("[]") else value}

    assert f"{key.replace('[]', '[0]')} = true, must be a number" in problems_of(tmp_path, yaml.safe_dump(value))


NO_ADDRESS = "listen.http = nope, must be ip:port or localhost:port with a port of 1 to 65535, IPv6 in brackets"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("drain_s: .inf", "drain_s = inf, must be a finite number"),
        ("drain_s: .nan", "drain_s = nan, must be a finite number"),
        ("drain_s: 1e300", "drain_s = 1e300, must be less than or equal to 604800"),
        ("drain_s: 0.0001", "drain_s = 0.0001, must be 0.001 or more"),
        ("drain_s: true", "drain_s = true, must be a number"),
        ("routing: {slo_ttft_s: .inf}", "routing.slo_ttft_s = inf, must be a finite number"),
        ("routing: {fallbacks: true}", "routing.fallbacks = true, must be a number"),
        (
            "models: [{name: m, rps: 9223372036854775808}]",
            "models[0].rps = 9223372036854775808, must be less than or equal to 9007199254740992",
        ),
        (
            "limits: {output_tokens: 1" + "0" * 30 + "}",
            "limits.output_tokens = 1" + "0" * 30 + ", must be less than or equal to 100000000",
        ),
        (
            "models: [{name: m, endpoints: [{address: '1.1.1.1:1', metric_port: 70000}]}]",
            "models[0].endpoints[0].metric_port = 70000, must be less than or equal to 65535",
        ),
        ('models: [{name: "a\\nb"}]', "models[0].name = 'a\\nb', must contain no control characters"),
        ('models: [{name: "\\ud800"}]', "models[0].name = '\\ud800', must contain no control characters"),
        ("1: x", "1, a key must be text in one line"),
        (
            "redis: {url: 'redis://:hu@sh/x@h'}",
            "redis.url = redis://***@h, must have a port of 1 to 65535, and @/?# in a password percent-encoded",
        ),
        ("redis: {url: ':hush@h:1'}", "redis.url = ***@h:1, must start with redis://, rediss://, unix://"),
        ("redis: {timeout_s: -1}", "redis.timeout_s = -1, must be greater than 0"),
        ("redis: {when_away: maybe}", "redis.when_away = maybe, must be 'local', 'deny' or 'allow'"),
        ("redis: {when_away: [shadow]}", "redis.when_away = [shadow], must be 'local', 'deny' or 'allow'"),
        ("transport: pyvoy", "transport = pyvoy, must be 'http2' or 'grpc'"),
        ("anonymous: ''", "anonymous = '', must have at least 1 character"),
        ("drain_s: soon", "drain_s = soon, must be a number"),
        ("redis: 5", "redis = 5, must be a mapping"),
        ("models: {a: b}", "models = {a: b}, must be a list"),
        ("anonymous: 5", "anonymous = 5, must be text, in quotes if it looks like something else"),
        ("models: [{endpoints: []}]", "models[0].name is missing, it has no default"),
        ("listen: {http: nope}", NO_ADDRESS),
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
        ("[", "not YAML, line 2: quotes, brackets, colons and blanks must be complete up to here"),
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


def test_missing_certificates_are_reported_with_all_else_and_only_where_they_are_needed(tmp_path):
    text = "{envoy: {tls: {cert: c.pem, key: k.pem}}, models_file: none.yaml, reids: {}}"
    file = written(tmp_path, text)

    with pytest.raises(ConfigurationError) as caught:
        load_with_models(file, {}, STRATEGIES, envoy_file_problems)
    with pytest.raises(ConfigurationError) as without:
        load_with_models(file, {}, STRATEGIES)

    certificates = [f"{file}: envoy.tls.{key} = {tmp_path}/{key[0]}.pem, no such file" for key in ("cert", "key")]
    assert certificates == [problem for problem in caught.value.problems if "tls" in problem]
    assert set(caught.value.problems) - set(certificates) == set(without.value.problems)
    assert 2 == len(without.value.problems)


def test_one_look_finds_everything_that_is_wrong(tmp_path):
    text = """
        listen: {grpc: nope, http: "127.0.0.1:8090", admin: "10.0.0.1:8090", workers: ["127.0.0.1:8090", x]}
        redis: {url: "redis://h/x", timeout_s: .inf}
        scrape: {interval_s: 9, path: metrics}
        anonymous: Deny
        compat: v1
        routing: {strategy: nope, fallbacks: 99}
        models:
          - {name: a, strategy: zz, endpoints: [{address: engine}, {address: "1.1.1.1:1"}, {address: "1.1.1.1:1"}, 5]}
          - {name: a, rps: -1, endpoints: [{}]}
          - {endpoints: [{address: "1.1.1.1:2", adapters: [a, 1]}], extra: 1}
        """

    assert sorted(problem.partition(" ")[0] for problem in problems_of(tmp_path, text)) == [
        "anonymous", "compat", "listen.admin", "listen.grpc", "listen.workers[0]", "listen.workers[1]",
        "models[0].endpoints[0].address", "models[0].endpoints[2].address", "models[0].endpoints[3]",
        "models[0].strategy", "models[1].endpoints[0].address", "models[1].name", "models[1].rps",
        "models[2].endpoints[0].adapters[0]", "models[2].endpoints[0].adapters[1]", "models[2].extra", "models[2].name",
        "redis.timeout_s", "redis.url", "routing.fallbacks", "routing.strategy", "scrape.interval_s", "scrape.path",
    ]  # fmt: skip


def test_a_file_that_contains_itself_or_is_nested_without_end_is_an_error(tmp_path):
    for text in ("models: &a [*a]", "[" * 5000, "redis: &a {url: *a}"):
        [problem] = problems_of(tmp_path, text)
        assert "must not" in problem


def test_the_endpoints_file_is_relative_to_the_configuration_and_absolute_for_envoy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "envoy: {eds_file: eds/engines.json}")

    assert str(tmp_path / "eds/engines.json") == load(Path("forebay.yaml"), {}, STRATEGIES).envoy.eds_file
    assert "/etc/eds.json" == loaded(tmp_path, "envoy: {eds_file: /etc/eds.json}").envoy.eds_file


@pytest.mark.parametrize("name", ["forebay.yaml", "fleet.yaml", ".", "/"])
def test_the_endpoints_file_overwrites_nothing_else(tmp_path, name):
    [problem] = problems_of(tmp_path, f"{{models_file: fleet.yaml, envoy: {{eds_file: {name}}}}}")

    assert problem.endswith("must be a file of its own, which the gateway writes")


def test_a_models_file_beside_models_is_not_read(tmp_path):
    file = written(tmp_path, "{models_file: absent.yaml, models: [{name: m}]}")

    with pytest.raises(ConfigurationError) as caught:
        load_with_models(file, {}, STRATEGIES)

    assert (f"{file}: models_file = absent.yaml, must be empty when models are given here",) == caught.value.problems


def test_the_error_reads_as_one_line(tmp_path):
    with pytest.raises(ConfigurationError, match=r"^.*: no such file$"):
        load(tmp_path / "absent.yaml", {}, STRATEGIES)
