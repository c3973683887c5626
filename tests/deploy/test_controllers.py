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
from tests.deploy.test_manifests import DEFAULT, FOLLOW, KEEP, allowed, needs_kubectl, verbs
from tests.support.manifests import OVERLAYS, containers, named, objects

ALONE = "aibrix-lora-controller-manager"


def of_adapters() -> set[tuple[str, str, str]]:
    """The permissions that the controller of adapters needs in every namespace."""
    own = {"": "patch", "/status": "patch", "/finalizers": "update"}
    everywhere = {(ADAPTERS.group, f"{ADAPTERS.plural}{more}", verb) for more, verb in own.items()}
    everywhere |= verbs(FOLLOW, ADAPTERS, PODS) | verbs(("create", "patch"), EVENTS)
    return everywhere | verbs((*FOLLOW, "get", "create", "patch"), SERVICES, SLICES)


def test_the_controllers_may_do_what_they_do_and_nothing_else():
    everywhere = of_adapters() | verbs(FOLLOW, DEPLOYMENTS, STATEFUL_SETS, FLEETS, GRANTS)
    everywhere |= verbs(KEEP, GRANTS) | verbs(("list",), USAGES)
    everywhere |= {(f"{api}.metrics.k8s.io", "*", verb) for api in ("custom", "external") for verb in ("get", "list")}
    everywhere |= verbs(FOLLOW, AUTOSCALERS) | {(AUTOSCALERS.group, "podautoscalers/status", "patch")}
    everywhere |= verbs(("get",), DEPLOYMENTS, STATEFUL_SETS, FLEETS)
    everywhere |= {("*", "*/scale", verb) for verb in ("get", "patch")} | verbs((*FOLLOW, *KEEP), HPAS)
    at_home = verbs((*FOLLOW, *KEEP), ROUTES, FILTERS) | verbs(("create", "get", "update"), LEASES)
    at_home |= verbs(("get", "list", *KEEP), CONFIG_MAPS)

    assert everywhere == allowed("ClusterRole", "aibrix-controller-manager")
    assert at_home == allowed("Role", "aibrix-controller-manager")


def test_the_controller_of_adapters_alone_may_do_only_that_and_has_the_service_of_its_name():
    found = objects(OVERLAYS / "adapters")
    service = named(found, "Service", f"{ALONE}-metrics-service")
    [container] = containers(named(found, "Deployment", ALONE))

    assert of_adapters() == allowed("ClusterRole", ALONE, OVERLAYS / "adapters")
    assert verbs(("create", "get", "update"), LEASES) == allowed("Role", ALONE, OVERLAYS / "adapters")
    assert {"--controllers=modeladapter", f"--lease={ALONE}"} <= {*container["args"]}
    assert [8080] == [port["port"] for port in service["spec"]["ports"]]


@needs_kubectl
def test_with_that_controller_comes_its_kind_alone():
    kinds = [one for one in objects(OVERLAYS / "adapters") if one["kind"] == "CustomResourceDefinition"]

    assert [f"{ADAPTERS.plural}.{ADAPTERS.group}"] == [one["metadata"]["name"] for one in kinds]


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
