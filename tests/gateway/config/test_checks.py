"""Contradictions between keys are found."""

import pytest

from tests.support.configuration import loaded, problems_of


@pytest.mark.parametrize("address", ["0.0.0.0:8090", "[::]:8090", "10.0.0.1:8090", "admin:8090"])
def test_an_admin_interface_that_others_reach_needs_a_token(tmp_path, address):
    assert problems_of(tmp_path, f"listen: {{admin: '{address}'}}") == (
        f"listen.admin = {address}, must be a loopback address unless admin_token is set",
    )
    assert address == loaded(tmp_path, f"{{listen: {{admin: '{address}'}}, admin_token: t}}").listen.admin


def test_each_face_has_a_port_of_its_own_because_workers_tell_them_apart_by_it(tmp_path):
    assert problems_of(tmp_path, "listen: {http: '0.0.0.0:8080', admin: '127.0.0.1:8080'}") == (
        "listen.admin = 127.0.0.1:8080, must have a port of its own, listen.http has it",
    )
    assert problems_of(tmp_path, "listen: {workers: ['127.0.0.1:8090', '127.0.0.1:1', '127.0.0.1:1']}") == (
        "listen.workers[0] = 127.0.0.1:8090, must have a port of its own, listen.admin has it",
        "listen.workers[2] = 127.0.0.1:1, must be unique, listen.workers[1] has it",
    )


def test_keys_are_not_left_unchecked_when_no_gateway_answers(tmp_path):
    assert problems_of(tmp_path, "{identity: api_key, envoy: {fail_open: true}}") == (
        "envoy.fail_open = true, must be false with identity: api_key, or keys are unchecked and reach engines",
    )
    assert loaded(tmp_path, "{identity: header, envoy: {fail_open: true}}").envoy.fail_open


def test_models_come_from_one_place(tmp_path):
    assert problems_of(tmp_path, "{models: [{name: m}], models_file: fleet.yaml}") == (
        "models_file = fleet.yaml, must be empty when models are given here",
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
