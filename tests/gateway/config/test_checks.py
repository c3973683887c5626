"""Contradictions between keys are found."""

import pytest

from tests.support.configuration import loaded, problems_of


@pytest.mark.parametrize("address", ["0.0.0.0:8090", "[::]:8090", "10.0.0.1:8090"])
def test_an_admin_interface_that_others_reach_needs_a_token(tmp_path, address):
    assert problems_of(tmp_path, f"listen: {{admin: '{address}'}}") == (
        f"listen.admin = {address}, must be a loopback address unless admin_token is set",
    )
    assert address == loaded(tmp_path, f"{{listen: {{admin: '{address}'}}, admin_token: t}}").listen.admin


def test_a_closed_test_cluster_may_open_the_admin_interface_on_any_address(tmp_path):
    assert loaded(tmp_path, "{listen: {admin: '0.0.0.0:8090'}, admin_open: true}").admin_open
    assert problems_of(tmp_path, "{admin_token: t, admin_open: true}") == (
        "admin_open = true, must be false with an admin_token",
    )


def test_each_face_has_a_port_of_its_own_because_workers_tell_them_apart_by_it(tmp_path):
    assert problems_of(tmp_path, "listen: {http: '0.0.0.0:8080', admin: '127.0.0.1:8080'}") == (
        "listen.admin = 127.0.0.1:8080, must have a port of its own, listen.http has it",
    )
    assert problems_of(tmp_path, "listen: {workers: ['127.0.0.1:8090', '127.0.0.1:1', '127.0.0.1:1']}") == (
        "listen.workers[0] = 127.0.0.1:8090, must have a port of its own, listen.admin has it",
        "listen.workers[2] = 127.0.0.1:1, must have a port of its own, listen.workers[1] has it",
    )


@pytest.mark.parametrize(
    ("text", "key", "owner"),
    [
        ("envoy: {listen: '127.0.0.1:8080'}", "envoy.listen", "listen.http"),
        ("envoy: {listen: '0.0.0.0:8080'}", "envoy.listen", "listen.http"),
        ("envoy: {admin: 'localhost:8090'}", "envoy.admin", "listen.admin"),
        ("envoy: {listen: '[::]:19001'}", "envoy.admin", "envoy.listen"),
        (
            "{listen: {workers: ['127.0.0.1:5', '127.0.0.2:5']}, envoy: {admin: '0.0.0.0:5'}}",
            "envoy.admin",
            "listen.workers[0]",
        ),
        ("listen: {workers: ['127.0.0.1:5', '0.0.0.0:5']}", "listen.workers[1]", "listen.workers[0]"),
    ],
)
def test_no_port_is_taken_twice(tmp_path, text, key, owner):
    [problem] = problems_of(tmp_path, text)

    assert problem.startswith(f"{key} = ")
    assert problem.endswith(f", must have a port of its own, {owner} has it")


def test_one_port_on_different_addresses_of_a_machine_is_no_contradiction(tmp_path):
    assert loaded(tmp_path, "{listen: {workers: ['127.0.0.1:5', '127.0.0.2:5']}, envoy: {listen: '10.0.0.1:8080'}}")


@pytest.mark.parametrize(
    "word", ["Deny", "DENY", "ALLOW", "Allow", "denny", "deny ", "alow", "denied", "allowed", "'no'", "none", "reject"]
)
def test_a_misspelt_word_is_not_the_name_of_a_user(tmp_path, word):
    [problem] = problems_of(tmp_path, f"anonymous: {word!r}" if word.endswith(" ") else f"anonymous: {word}")

    assert "must be allow, deny or the name of a user" in problem


@pytest.mark.parametrize("name", ["'a,b'", "' lgy'", '"a\\u200bb"', f"'{'x' * 257}'"])
def test_the_user_of_anonymous_requests_has_a_name_that_users_can_have(tmp_path, name):
    [problem] = problems_of(tmp_path, f"anonymous: {name}")

    assert problem.endswith(", as the name of a user")


@pytest.mark.parametrize("name", ["guest", "anonymous", "denise", "team/lgy", "水"])
def test_any_other_name_is_a_user(tmp_path, name):
    assert name == loaded(tmp_path, f"anonymous: {name}").anonymous


def test_metrics_do_not_grow_stale_between_two_scrapes(tmp_path):
    for interval in (7, 60):
        [problem] = problems_of(tmp_path, f"scrape: {{interval_s: {interval}}}")
        assert "must be less than scrape.stale_after_s = 7" in problem
    assert loaded(tmp_path, "scrape: {interval_s: 60, stale_after_s: 61}")


def test_a_cluster_has_one_database(tmp_path):
    assert problems_of(tmp_path, "redis: {url: 'redis://h/1', cluster: true}") == (
        "redis.url = redis://h/1, must have database 0 with redis.cluster",
    )


def test_a_token_that_http_would_change_is_an_error_that_does_not_show_it(tmp_path):
    assert problems_of(tmp_path, "admin_token: ' hush'") == (
        "admin_token = ***, must not begin or end with a blank, which HTTP removes from a header",
    )


def test_an_adapter_is_named_like_no_model_and_stands_once_in_an_endpoint(tmp_path):
    text = """
        models:
          - {name: a, endpoints: [{address: "1.1.1.1:1", adapters: [a, x, b, x]}]}
          - {name: b}
        """

    assert problems_of(tmp_path, text) == (
        "models[0].endpoints[0].adapters[0] = a, must not be the name of a model, models[0] has it",
        "models[0].endpoints[0].adapters[2] = b, must not be the name of a model, models[1] has it",
        "models[0].endpoints[0].adapters[3] = x, must be unique in the endpoint",
    )


def test_one_endpoint_spelt_in_two_ways_is_one_endpoint(tmp_path):
    [problem] = problems_of(tmp_path, "models: [{name: a, endpoints: [{address: '[::1]:1'}, {address: '[0::1]:01'}]}]")

    assert problem.endswith("must be unique in the model, endpoints[0] has it")


def test_keys_are_not_left_unchecked_when_no_gateway_answers(tmp_path):
    assert problems_of(tmp_path, "{identity: api_key, envoy: {fail_open: true}}") == (
        "envoy.fail_open = true, must be false with identity: api_key, or keys are unchecked and reach engines",
    )
    api = "pools: [{name: cloud, priority: 1, api: {url: 'https://a.example', key_env: KEY, models: {m: M}}}]"
    assert problems_of(tmp_path, f"{{identity: header, envoy: {{fail_open: true}}, {api}}}") == (
        "envoy.fail_open = true, must be false with an API in pools, or anybody's requests are paid there",
    )
    assert loaded(tmp_path, "{identity: header, envoy: {fail_open: true}}").envoy.fail_open


def test_pools_differ_and_endpoints_name_one_of_them(tmp_path):
    text = """
        pools: [{name: own, priority: 0}, {name: cloud, priority: 0}, {name: own, priority: 2}]
        models:
          - {name: a, endpoints: [{address: "1.1.1.1:1", pool: own}, {address: "1.1.1.1:2", pool: clud}]}
          - {name: b, endpoints: [{address: "1.1.1.1:3"}]}
        """

    assert problems_of(tmp_path, text) == (
        "pools[2].name = own, must be unique, pools[0] has it",
        "pools[1].priority = 0, must be unique, pool own has it",
        "models[0].endpoints[1].pool = clud, must be one of pools: own, cloud, own",
        "models[1].endpoints[0].pool = '', must be one of pools: own, cloud, own",
    )


def test_an_api_has_one_key_and_prices_for_its_budget_and_our_own_envoy(tmp_path):
    text = """
        kubernetes: {enabled: true}
        pools:
          - {name: a, priority: 0, api: {url: "https://api.test", models: {m: n}}}
          - {name: b, priority: 1, api: {url: "https://api.test", key_file: k, key_env: K, cost_day: 5, models: {m: n}}}
        """
    one_key, own_envoy = "must be given, or key_env, and not both", "must not be set where other software"

    found = problems_of(tmp_path, text)

    assert [f"pools[{n}].api.key_file" for n in (0, 1)] == [line.split(" = ")[0] for line in found if one_key in line]
    assert 2 == len([line for line in found if own_envoy in line])
    assert "pools[1].api.cost_day = 5.0, must come with pools[1].prices" in found


def test_aliases_are_no_models_and_stand_for_some(tmp_path):
    text = """
        models: [{name: a, endpoints: [{address: "1.1.1.1:1", adapters: [x]}]}]
        aliases:
          - {name: a, targets: [{model: x}]}
          - {name: b, targets: [{model: a, weight: 95}, {model: z, weight: 5}], fallbacks: [x, y]}
          - {name: b, targets: [{model: b}]}
        """

    assert problems_of(tmp_path, text) == (
        "aliases[2].name = b, must be unique, aliases[1] has it",
        "aliases[0].name = a, must not be the name of a model",
        "aliases[1].targets[1].model = z, must be one of models: a, x",
        "aliases[1].fallbacks[1] = y, must be one of models: a, x",
        "aliases[2].targets[0].model = b, must be one of models: a, x",
    )
    assert loaded(tmp_path, "aliases: [{name: b, targets: [{model: somewhere-else}]}]")


def test_an_alias_may_stand_for_a_model_of_the_models_file_beside_those_of_an_api(tmp_path):
    assert loaded(
        tmp_path,
        """
        models_file: fleet.yaml
        pools: [{name: cloud, priority: 1, api: {url: "https://a.example", key_env: KEY, models: {m: M}}}]
        aliases: [{name: b, targets: [{model: in-the-file}], fallbacks: [m]}]
        """,
    )


def test_without_pools_endpoints_may_name_any(tmp_path):
    assert loaded(tmp_path, "models: [{name: a, endpoints: [{address: '1.1.1.1:1', pool: x, pool_priority: 3}]}]")


def test_models_come_from_one_place(tmp_path):
    assert problems_of(tmp_path, "{models: [{name: m}], models_file: fleet.yaml}") == (
        "models_file = fleet.yaml, must be empty when models are given here",
    )


@pytest.mark.parametrize("other", ["models: [{name: m}]", "models_file: fleet.yaml"])
def test_a_cluster_is_the_only_source_of_models(tmp_path, other):
    (tmp_path / "fleet.yaml").write_text("[]")

    assert problems_of(tmp_path, f"{{kubernetes: {{enabled: true}}, {other}}}") == (
        "kubernetes.enabled = true, must be false when models or a models_file are given",
    )


def test_profiles_have_known_strategies_and_names_of_their_own(tmp_path):
    models = "[{name: m, profiles: [{name: good, strategy: random}, {name: bad, strategy: randm}, {name: good}]}]"

    assert problems_of(tmp_path, f"{{models: {models}}}") == (
        "models[0].profiles[1].strategy = randm, must be one of forebay, least-request, random; did you mean random?",
        "models[0].profiles[2].name = good, must be unique in its model",
    )


def test_strategies_must_be_known_everywhere(tmp_path):
    assert problems_of(tmp_path, "{routing: {strategy: randm}, models: [{name: m, strategy: zz}]}") == (
        "routing.strategy = randm, must be one of forebay, least-request, random; did you mean random?",
        "models[0].strategy = zz, must be one of forebay, least-request, random",
    )


def test_a_model_is_described_once(tmp_path):
    assert problems_of(tmp_path, "models: [{name: a}, {name: b}, {name: a}]") == (
        "models[2].name = a, must be unique, models[0] has it",
    )


def test_an_address_stands_once_in_a_model_and_may_serve_several(tmp_path):
    twice = "models: [{name: a, endpoints: [{address: '1.1.1.1:1'}, {address: '1.1.1.1:1'}]}]"
    shared = "models: [{name: a, endpoints: [{address: '1.1.1.1:1'}]}, {name: b, endpoints: [{address: '1.1.1.1:1'}]}]"

    assert problems_of(tmp_path, twice) == (
        "models[0].endpoints[1].address = 1.1.1.1:1, must be unique in the model, endpoints[0] has it",
    )
    assert len(loaded(tmp_path, shared).models) == 2


def test_a_pod_name_means_one_address(tmp_path):
    text = """
        models:
          - {name: a, endpoints: [{name: pod, address: "1.1.1.1:1"}]}
          - {name: b, endpoints: [{name: pod, address: "1.1.1.1:2"}]}
        """

    assert problems_of(tmp_path, text) == (
        "models[1].endpoints[0].name = pod, must name one pod, it already names 1.1.1.1:1",
    )


def test_a_pod_has_one_name_because_its_load_would_be_counted_in_halves(tmp_path):
    text = """
        models:
          - {name: a, endpoints: [{name: pod, address: "1.1.1.1:1"}]}
          - {name: b, endpoints: [{address: "1.1.1.1:1"}]}
        """

    assert problems_of(tmp_path, text) == (
        "models[1].endpoints[0].name = 1.1.1.1:1, must be pod, the name that 1.1.1.1:1 already has",
    )


def test_adapters_that_engines_list_contradict_nothing(tmp_path):
    text = 'models: [{name: auto, endpoints: [{address: "1.1.1.1:1", adapters: auto}]}]'

    assert ("auto",) == loaded(tmp_path, text).models[0].endpoints[0].adapters


def test_a_pod_is_described_alike_wherever_it_stands_but_for_its_adapters(tmp_path):
    text = """
        models:
          - {name: a, endpoints: [{address: "1.1.1.1:1", gpu: L20, adapters: [x]}]}
          - {name: b, endpoints: [{address: "1.1.1.1:1", gpu: A10}]}
        """

    assert problems_of(tmp_path, text) == (
        "models[1].endpoints[0].gpu = A10, must be L20, as where 1.1.1.1:1 is listed first",
    )
    assert len(loaded(tmp_path, text.replace("A10", "L20")).models) == 2


def test_full_duplex_bodies_need_an_exchange_that_lives_as_long_as_the_answer(tmp_path):
    assert problems_of(tmp_path, "envoy: {body_mode: full_duplex_streamed}") == (
        "envoy.body_mode = full_duplex_streamed, must be buffered with response_mode: metadata",
    )
    assert loaded(tmp_path, "{envoy: {body_mode: full_duplex_streamed}, response_mode: ext_proc}")
