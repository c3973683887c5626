"""The page that autoscalers read."""

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from optimizer.service.published import gauge_page, unserved_share
from tests.support.boards import L20, NOW_S, V100, a_board, a_decided_board


def test_the_gauge_is_a_hundred_times_the_replicas():
    _, model = a_decided_board()

    lines = gauge_page(L20, model, 5, NOW_S + 3, raw=False).splitlines()

    assert [
        "# HELP vllm:deployment_replicas Replicas that the deployment should have, times 100.",
        "# TYPE vllm:deployment_replicas gauge",
        'vllm:deployment_replicas{model_name="org/m"} 500',
    ] == lines[:3]
    assert 'gpuopt_plan_replicas{namespace="default",deployment="m-l20"} 5' in lines
    assert 'gpuopt_plan_age_seconds{namespace="default",deployment="m-l20"} 3.000' in lines
    assert 'gpuopt_unserved_share{namespace="default",deployment="m-l20"} 0' in lines


def test_raw_is_the_number_itself():
    _, model = a_decided_board()

    assert 'vllm:deployment_replicas{model_name="org/m"} 5\n' in gauge_page(L20, model, 5, NOW_S, raw=True)


def test_any_name_is_one_label():
    _, model = a_decided_board()
    model.name = 'a"b\\c\nd'

    families = list(text_string_to_metric_families(gauge_page(L20, model, 5, NOW_S, raw=False)))

    assert {"model_name": 'a"b\\c\nd'} == families[0].samples[0].labels


def test_without_a_decision_there_are_the_replicas_alone():
    model = a_board().models["org/m"]

    page = gauge_page(L20, model, 2, NOW_S, raw=False)

    assert "gpuopt_plan" not in page
    assert 'gpuopt_replicas{namespace="default",deployment="m-l20"} 2\n' in page


def test_what_was_not_planned_is_not_told():
    _, model = a_decided_board()
    assert model.decision is not None
    model.decision = replace(model.decision, case=None, plan=None, replicas={V100.key: 1})

    page = gauge_page(L20, model, 2, NOW_S, raw=False)

    told = [line.split()[2] for line in page.splitlines() if "TYPE gpuopt" in line]
    assert ["gpuopt_replicas", "gpuopt_plan_age_seconds"] == told
    assert (None, None) == (model.decision.cost, unserved_share(model.decision))


def test_the_unserved_share_is_that_of_all_requests():
    _, model = a_decided_board(rate=30.0)
    assert model.decision is not None
    assert model.decision.case is not None and model.decision.plan is not None

    model.decision = replace(model.decision, plan=replace(model.decision.plan, unserved=(0.5,)))

    assert 0.5 == unserved_share(model.decision)
