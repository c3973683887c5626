"""The page of metrics of a process that runs controllers."""

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from controllers.routes.workloads import ADAPTERS
from forebay.cluster.metrics import ControllerMetrics
from kube.election import Election
from tests.controllers.routes.test_controller import MISSING, a_controller, not_listed
from tests.support.kubernetes.hands import Hands
from tests.support.kubernetes.script import talking
from tests.support.polling import until


async def test_every_figure_is_read_when_it_is_asked_for():
    clocks = Hands().clocks()
    async with talking([]) as (client, _):
        controller = a_controller(client)
        metrics = ControllerMetrics([controller], Election(client, "l", "n", identity="i", clocks=clocks))
        controller.queue.add("HTTPRoute/n/a")
        controller.queue.attempts.failed = 3

        families = list(text_string_to_metric_families(metrics.render().decode()))

    samples = {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}
    assert {
        ("forebay_controllers_leading",): 0,
        ("forebay_controller_queue", "routes"): 1,
        ("forebay_controller_failing", "routes"): 0,
        ("forebay_controller_attempts_total", "routes", "failed"): 3,
        ("forebay_controller_objects", "routes", "pending"): 0,
        ("forebay_kubernetes_followed", "HTTPRoute"): 0,
        ("forebay_kubernetes_behind_seconds", "HTTPRoute"): 0,
        ("forebay_kubernetes_objects", "ModelAdapter"): 0,
    }.items() <= samples.items()
    assert all(family.documentation for family in families)


async def test_a_kind_that_is_not_installed_is_not_behind():
    clocks = Hands().clocks()
    async with talking(not_listed(ADAPTERS, MISSING)) as (client, _):
        controller = a_controller(client)
        metrics = ControllerMetrics([controller], Election(client, "l", "n", identity="i", clocks=clocks))
        (informer,) = (one for one in controller.followed if one.kind is ADAPTERS)
        following = asyncio.create_task(informer.run())
        await until(lambda: informer.is_absent and informer.behind_s() > 0)

        page = metrics.render().decode().splitlines()
        following.cancel()

    assert 'forebay_kubernetes_followed{kind="ModelAdapter"} 0.0' in page
    assert 'forebay_kubernetes_behind_seconds{kind="ModelAdapter"} 0.0' in page
