"""The manifests of the controllers: what these may do in a cluster, and the kinds that come with them."""

from autoscaling.spec import StrategyName
from controllers.modeladapter.services import SERVICES, SLICES
from controllers.podautoscaler.hpas import HPAS
from controllers.podautoscaler.memory import CONFIG_MAPS
from controllers.podautoscaler.objects import AUTOSCALERS
from controllers.podautoscaler.sources.apis import USAGES
from controllers.routes.objects import FILTERS, GRANTS, ROUTES
from controllers.routes.workloads import ADAPTERS, DEPLOYMENTS, FLEETS, STATEFUL_SETS
from gateway.discovery.pods import PODS
from kube.election import LEASES
from kube.events import EVENTS
from tests.deploy.test_manifests import DEFAULT, FOLLOW, KEEP, allowed, verbs
from tests.support.manifests import objects

OF_ADAPTERS = {"": "patch", "/status": "patch", "/finalizers": "update"}


def test_the_controllers_may_do_what_they_do_and_nothing_else():
    everywhere = verbs(FOLLOW, DEPLOYMENTS, STATEFUL_SETS, ADAPTERS, FLEETS, GRANTS)
    everywhere |= verbs(KEEP, GRANTS) | verbs(("create", "patch"), EVENTS) | verbs(("list",), USAGES)
    everywhere |= {(f"{api}.metrics.k8s.io", "*", verb) for api in ("custom", "external") for verb in ("get", "list")}
    everywhere |= verbs(FOLLOW, AUTOSCALERS) | {(AUTOSCALERS.group, "podautoscalers/status", "patch")}
    everywhere |= verbs(("get",), DEPLOYMENTS, STATEFUL_SETS, FLEETS) | verbs(FOLLOW, PODS)
    everywhere |= verbs((*FOLLOW, "get", "create", "patch"), SERVICES, SLICES)
    everywhere |= {(ADAPTERS.group, f"{ADAPTERS.plural}{more}", verb) for more, verb in OF_ADAPTERS.items()}
    everywhere |= {("*", "*/scale", verb) for verb in ("get", "patch")} | verbs((*FOLLOW, *KEEP), HPAS)
    at_home = verbs((*FOLLOW, *KEEP), ROUTES, FILTERS) | verbs(("create", "get", "update"), LEASES)
    at_home |= verbs(("get", "list", *KEEP), CONFIG_MAPS)

    assert everywhere == allowed("ClusterRole", "aibrix-controller-manager")
    assert at_home == allowed("Role", "aibrix-controller-manager")


def test_the_kinds_of_the_controllers_come_with_them():
    kinds = {one["metadata"]["name"]: one for one in objects(DEFAULT) if one["kind"] == "CustomResourceDefinition"}
    autoscalers, adapters = (f"{kind.plural}.{kind.group}" for kind in (AUTOSCALERS, ADAPTERS))
    [version] = kinds[autoscalers]["spec"]["versions"]

    assert {autoscalers, adapters} == kinds.keys()
    assert {*StrategyName} == {
        *version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["scalingStrategy"]["enum"]
    }
    columns = [column["name"] for column in version["additionalPrinterColumns"]]
    assert ["MINPODS", "MAXPODS", "REPLICAS", "STRATEGY", "AGE"] == columns
