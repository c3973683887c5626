"""LoRA adapters in a cluster: loaded on engines, found by gateways, loaded again when engines or pods go."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
import yaml

from tests.support.kubernetes.article import SAMPLES, chat, deployment, service
from tests.support.kubernetes.installed import NAMESPACE, Forebay
from tests.support.kubernetes.node.network import GATEWAY
from tests.support.manifests import OVERLAYS
from tests.support.stores.file_server import Site, file_server
from tests.support.stores.hub import add_model

BASE = "qwen-coder-1-5b-instruct"
ADAPTER = "qwen-code-lora"
ALONE = "aibrix-lora-controller-manager"
LABEL = f"model.aibrix.ai/name={BASE}"


def an_adapter(name: str = ADAPTER, **spec: Any) -> dict[str, Any]:
    """The article's object, of an adapter that engines find by themselves."""
    return {
        "apiVersion": "model.aibrix.ai/v1alpha1",
        "kind": "ModelAdapter",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {"model.aibrix.ai/name": name, "model.aibrix.ai/port": "8000"},
        },
        "spec": {
            "baseModel": BASE,
            "podSelector": {"matchLabels": {"model.aibrix.ai/name": BASE}},
            "artifactURL": "huggingface://ai-blond/Qwen-Qwen2.5-Coder-1.5B-Instruct-lora",
            "schedulerName": "default",
            **spec,
        },
    }


class Adapters:
    """The adapters of the installation, as its users see them."""

    def __init__(self, forebay: Forebay) -> None:
        self.forebay = forebay

    def status(self, name: str = ADAPTER) -> dict[str, Any]:
        return dict(json.loads(self.forebay.kubectl("get", "modeladapter", name, "-o", "json")).get("status", {}))

    def condition(self, kind: str, name: str = ADAPTER) -> tuple[str, str, str]:
        for one in self.status(name).get("conditions", ()):
            if one["type"] == kind:
                return one["status"], one["reason"], one["message"]
        return "", "", ""

    def instances(self, name: str = ADAPTER) -> list[str]:
        return list(self.status(name).get("instances", ()))

    def is_running(self, name: str = ADAPTER) -> bool:
        return self.status(name).get("phase") == "Running"

    def address(self, pod: str) -> str:
        return self.forebay.kubectl("get", "pod", pod, "-o", "jsonpath={.status.podIP}")

    def listed(self, pod: str) -> set[str]:
        """The models that the engine of a pod lists."""
        answer = httpx.get(f"http://{self.address(pod)}:8000/v1/models", trust_env=False, timeout=10).json()
        return {card["id"] for card in answer["data"]}

    def loads(self, name: str = ADAPTER) -> int:
        """How often the controllers, all together, told that they have loaded it."""
        found = json.loads(self.forebay.kubectl("get", "events.events.k8s.io", "-o", "json"))["items"]
        told = [one for one in found if one["reason"] == "Loaded" and one["regarding"].get("name") == name]
        return sum((one.get("series") or {}).get("count", 1) for one in told)

    def spread(self, names: list[str]) -> list[int]:
        """How many adapters each pod of the base model has, the fewest first; none while one of them has no pod."""
        pods = self.forebay.pods(LABEL)
        found = json.loads(self.forebay.kubectl("get", "modeladapter", *names, "-o", "json"))["items"]
        where = [pod for one in found for pod in one.get("status", {}).get("instances", ())]
        counts = Counter(where)
        return sorted(counts[pod] for pod in pods) if len(where) == len(names) and set(where) <= set(pods) else []


def test_the_articles_objects_load_an_adapter_from_the_hub_through_the_runtime(forebay: Forebay, tmp_path: Path):
    base, *others = yaml.safe_load_all((SAMPLES / "adapters/qwen-code-lora.yaml").read_text())
    with file_server(Site(), GATEWAY) as hub:
        add_model(hub, "ai-blond/Qwen-Qwen2.5-Coder-1.5B-Instruct-lora", {"adapter_config.json": b"{}"})
        environment = {"HF_ENDPOINT": hub.url, "ADAPTER_LOCAL_DIR": str(tmp_path)}
        runtime = base["spec"]["template"]["spec"]["containers"][1]
        runtime["env"] = [one for one in runtime["env"] if one["name"] not in environment]
        runtime["env"] += [{"name": name, "value": value} for name, value in environment.items()]
        forebay.apply(base, *others)
        adapters = Adapters(forebay)
        forebay.eventually(adapters.is_running)

    assert [b"{}"] == [file.read_bytes() for file in tmp_path.rglob("adapter_config.json")]
    forebay.answers(200, ADAPTER)
    (pod,) = forebay.pods(LABEL)
    assert (pod, [pod]) == (forebay.ask(body=chat(ADAPTER, max_tokens=2)).headers["target-pod"], adapters.instances())

    forebay.kubectl("delete", "modeladapter", ADAPTER, "--timeout=60s")
    assert ADAPTER not in adapters.listed(pod)
    assert not [*tmp_path.rglob("adapter_config.json")]
    forebay.remove(BASE)
    forebay.eventually(lambda: not forebay.pods(LABEL))


@pytest.fixture(scope="module")
def adapters(forebay: Forebay) -> Iterator[Adapters]:
    """Two engines of the base model."""
    forebay.apply(deployment(BASE, replicas=2), service(BASE))
    forebay.rolled_out(BASE, "default")
    yield Adapters(forebay)
    forebay.kubectl("delete", "modeladapter", "--all", "--timeout=60s")
    forebay.remove(BASE)


@pytest.fixture
def loaded(adapters: Adapters) -> str:
    """The pod that has loaded the article's adapter."""
    adapters.forebay.apply(an_adapter())
    adapters.forebay.eventually(adapters.is_running)
    (pod,) = adapters.instances()
    return pod


def test_an_adapter_is_a_model_on_the_pod_that_loaded_it(adapters: Adapters, loaded: str):
    forebay = adapters.forebay
    assert ADAPTER in adapters.listed(loaded)
    (other,) = set(forebay.pods(LABEL)) - {loaded}
    assert ADAPTER not in adapters.listed(other)

    forebay.answers(200, ADAPTER)
    assert {loaded} == {forebay.ask(body=chat(ADAPTER, max_tokens=2)).headers["target-pod"] for _ in range(10)}

    (endpoint,) = json.loads(forebay.kubectl("get", "endpointslice", ADAPTER, "-o", "json"))["endpoints"]
    assert [adapters.address(loaded)] == endpoint["addresses"]
    assert "None" == forebay.kubectl("get", "service", ADAPTER, "-o", "jsonpath={.spec.clusterIP}")
    assert f"{ADAPTER}-router" in forebay.kubectl("get", "httproute", "-n", NAMESPACE, "-o", "name")


async def test_when_its_pod_goes_it_is_loaded_elsewhere_and_no_answer_is_wrong(adapters: Adapters, loaded: str):
    forebay = adapters.forebay
    forebay.answers(200, ADAPTER)
    async with forebay.load(ADAPTER) as answers:
        await asyncio.to_thread(forebay.kubectl, "delete", "pod", loaded, "--wait=false")
        await asyncio.to_thread(
            forebay.eventually, lambda: loaded not in adapters.instances() and adapters.is_running()
        )
        await asyncio.to_thread(forebay.answers, 200, ADAPTER)

    wrong = [lost for lost in answers.lost if not lost.startswith("503 ") or "retry-after" not in lost]
    assert not wrong, wrong[:3]
    assert answers.pods[adapters.instances()[0]] > 0


def test_when_the_leading_controller_is_killed_another_goes_on_and_loads_nothing_twice(adapters: Adapters):
    forebay = adapters.forebay
    forebay.apply(an_adapter("early"))
    forebay.eventually(lambda: adapters.is_running("early"))
    placed = adapters.instances("early")

    first = forebay.kill_leader()
    forebay.apply(an_adapter("late"))
    forebay.answers(200, "early")
    forebay.eventually(lambda: adapters.is_running("late"))

    assert first != forebay.leader()
    assert (placed, True) == (adapters.instances("early"), adapters.is_running("early"))
    assert [1, 1] == [adapters.loads(name) for name in ("early", "late")]

    forebay.kubectl("delete", "pod", *placed)
    forebay.eventually(lambda: adapters.instances("early") != placed and adapters.is_running("early"))
    assert 2 == adapters.loads("early")
    forebay.kubectl("delete", "modeladapter", "early", "late", "--timeout=60s")
    forebay.rolled_out("aibrix-controller-manager")


def test_ten_adapters_stay_even_while_pods_come_and_go(adapters: Adapters):
    forebay = adapters.forebay
    names = [f"lora-{n}" for n in range(10)]
    forebay.kubectl("delete", "modeladapter", ADAPTER, "--ignore-not-found", "--timeout=60s")
    forebay.apply(*(an_adapter(name) for name in names), deployment(BASE, replicas=4))
    forebay.rolled_out(BASE, "default")
    forebay.eventually(lambda: adapters.spread(names) == [2, 2, 3, 3])

    forebay.apply(deployment(BASE, replicas=3))
    forebay.eventually(lambda: adapters.spread(names) == [3, 3, 4])

    forebay.apply(deployment(BASE, replicas=4))
    forebay.eventually(lambda: adapters.spread(names) == [2, 2, 3, 3])

    forebay.kubectl("delete", "modeladapter", *names, "--timeout=60s")
    assert not any(adapters.listed(pod) & set(names) for pod in forebay.pods(LABEL))


def test_an_adapter_that_is_deleted_is_unloaded_and_its_objects_go(adapters: Adapters, loaded: str):
    forebay = adapters.forebay
    forebay.kubectl("delete", "modeladapter", ADAPTER, "--timeout=60s")

    assert ADAPTER not in adapters.listed(loaded)
    forebay.eventually(lambda: not forebay.kubectl("get", "service,endpointslice", "-o", "name").count(ADAPTER))
    forebay.answers(404, ADAPTER)


@pytest.mark.parametrize(
    ("spec", "condition", "said"),
    [
        ({"artifactURL": "ftp://x/y"}, "Initialized", ("False", "InvalidSpec", "spec.artifactURL = 'ftp://x/y'")),
        ({"schedulerName": "nearest"}, "Initialized", ("False", "InvalidSpec", "spec.schedulerName = 'nearest'")),
        ({"podSelector": {"matchLabels": {"no": "pod"}}}, "Scheduled", ("False", "NoPods", "no ready pod")),
        ({"artifactURL": "s3://bucket/lora"}, "Bound", ("False", "ModelAdapterLoadingError", "needs a container")),
        (
            {"credentialsSecretRef": {"name": "none"}}, "Bound",
            ("False", "ModelAdapterLoadingError", "spec.credentialsSecretRef.name = none"),
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_a_condition(
    adapters: Adapters, spec: dict[str, Any], condition: str, said: tuple[str, str, str]
):
    adapters.forebay.apply(an_adapter("bad", **spec))

    def is_told() -> bool:
        status, reason, message = adapters.condition(condition, "bad")
        return (status, reason) == said[:2] and said[2] in message

    adapters.forebay.eventually(is_told)
    adapters.forebay.kubectl("delete", "modeladapter", "bad", "--timeout=60s")


def test_one_that_is_too_large_is_told_in_the_engines_words_and_tried_again(
    adapters: Adapters, loaded: str, tmp_path: Path
):
    name, config = "large", tmp_path / "adapter_config.json"
    config.write_text('{"r": 64}')
    adapters.forebay.apply(an_adapter(name, artifactURL=str(tmp_path)))

    def attempts() -> int:
        return sum(one["attempts"] for one in adapters.status(name).get("failures", ()))

    adapters.forebay.eventually(lambda: attempts() > 2)
    assert "LoRA rank 64 is greater than max_lora_rank 16" in adapters.condition("Bound", name)[2]
    assert 200 == adapters.forebay.ask(body=chat(ADAPTER, max_tokens=2)).status_code

    config.write_text('{"r": 16}')
    adapters.forebay.eventually(lambda: adapters.is_running(name))
    adapters.forebay.kubectl("delete", "modeladapter", name, "--timeout=60s")


def grant_secrets(name: str) -> list[dict[str, Any]]:
    """A Secret, and what lets the controllers read those of its namespace."""
    rbac, group = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
    meta = {"metadata": {"name": name, "namespace": "default"}}
    account = {"kind": "ServiceAccount", "name": "aibrix-controller-manager", "namespace": NAMESPACE}
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": ["get"]}
    return [
        {"apiVersion": rbac, "kind": "Role", **meta, "rules": [rule]},
        {
            "apiVersion": rbac, "kind": "RoleBinding", **meta, "subjects": [account],
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
        },
        {"apiVersion": "v1", "kind": "Secret", **meta, "stringData": {"token": "t"}},
    ]  # fmt: skip


def asking(forebay: Forebay, model: str, is_last: Event) -> httpx.Response:
    """Ask again and again; return the answer to the request that was under way when it became the last."""
    while True:
        answer = forebay.ask(body=chat(model, max_tokens=2))
        if is_last.is_set():
            return answer
        time.sleep(0.2)


def test_an_adapter_that_cannot_be_loaded_yet_is_503_or_waited_for_as_its_model_says(adapters: Adapters):
    forebay, name = adapters.forebay, "late"
    forebay.apply(an_adapter(name, credentialsSecretRef={"name": name}))
    refused = forebay.answers(503, name)
    assert ("true", True) == (refused.headers["x-error-no-model-backends"], int(refused.headers["retry-after"]) > 0)

    config = "model.aibrix.ai/config"
    forebay.kubectl("annotate", "deployment", BASE, config + '={"waitsForAdapters": true}')
    is_last = Event()
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(asking, forebay, name, is_last)
        forebay.eventually(lambda: forebay.waiting(name))
        is_last.set()
        forebay.apply(*grant_secrets(name))
        answer = waiting.result()
        assert (200, adapters.instances(name)) == (answer.status_code, [answer.headers["target-pod"]])

    forebay.kubectl("annotate", "deployment", BASE, f"{config}-")
    forebay.kubectl("delete", "modeladapter", name, "--timeout=60s")
    forebay.kubectl("delete", "role,rolebinding,secret", name)


def test_the_controller_of_adapters_runs_alone(adapters: Adapters):
    forebay = adapters.forebay
    others = ("scale", "deployment/aibrix-controller-manager", "-n", NAMESPACE)
    forebay.kubectl(*others, "--replicas=0")
    try:
        forebay.kubectl("apply", "-k", OVERLAYS / "adapters")
        forebay.rolled_out(ALONE)
        forebay.apply(an_adapter("lonely"))
        forebay.eventually(lambda: adapters.is_running("lonely"))
        assert "lonely" in adapters.listed(*adapters.instances("lonely"))

        query = ("get", "service", f"{ALONE}-metrics-service", "-n", NAMESPACE, "-o", "jsonpath={.spec.clusterIP}")
        page = httpx.get(f"http://{forebay.kubectl(*query)}:8080/metrics", trust_env=False, timeout=10).text
        assert "forebay_controllers_leading" in page
        forebay.kubectl("delete", "modeladapter", "lonely", "--timeout=60s")
    finally:
        of_it = ("-n", NAMESPACE, "-l", f"app.kubernetes.io/name={ALONE}", "--ignore-not-found")
        forebay.kubectl("delete", "deployment,service", *of_it)
        forebay.kubectl(*others, "--replicas=2")
        forebay.install("dev")


def test_the_place_of_an_adapter_cannot_be_changed(adapters: Adapters, loaded: str):
    with pytest.raises(Exception, match="make another adapter"):
        adapters.forebay.apply(an_adapter(artifactURL="huggingface://somebody/else"))
