"""Plans of adapters, from pods and the engines' answers."""

from random import Random

from controllers.modeladapter.objects import claims_of, host_of, selected
from controllers.modeladapter.plan import Look, Probe, Wish, plan
from kube.models import PORT
from tests.support.adapters import a_pod, an_adapter, by_key, probes

A, B = a_pod("a"), a_pod("b")
KEY = "default/lora"


def planned(
    *adapters, pods=(A, B), answers: dict[str, Probe] | None = None, before: dict[str, Wish] | None = None, failing=()
) -> dict[str, Wish]:
    known = by_key(*adapters)
    chosen = {key: selected(one, by_key(*pods)) for key, one in known.items()}
    claims = claims_of(known, chosen)
    answers = probes(*((pod, ()) for pod in pods)) if answers is None else answers
    return plan(
        Look(
            known,
            {key: [host_of(pod, claims) for pod in some] for key, some in chosen.items()},
            answers,
            before or {},
            frozenset(failing),
            claims,
        ),
        Random(1),
    )


def names(hosts) -> list[str]:
    return sorted(host.name for host in hosts)


def test_an_adapter_goes_to_an_engine_that_answers():
    answers = probes((A, None), (B, ()))

    wish = planned(an_adapter(), answers=answers)[KEY]

    assert (["b"], ["b"], [], []) == tuple(map(names, (wish.candidates, wish.placed, wish.loaded, wish.serving)))
    assert ["b"] == names(wish.lacking)


def test_it_is_loaded_again_where_its_engine_was_started_again():
    pods = (A, a_pod("b", restarts=1))
    restarted = planned(an_adapter(), pods=pods, answers=probes((A, ()), (B, ("lora",))))[KEY]
    assert (("b",), []) == (restarted.unknown, names(restarted.loaded))

    wish = planned(an_adapter(), pods=(pods[1],), answers=probes((pods[1], ())))[KEY]
    assert ["b"] == names(wish.lacking)


def test_one_that_moves_serves_where_it_was_until_it_is_there():
    before = {KEY: Wish(placed=(probes((B, ()))["default/b"].host,))}
    moving = planned(an_adapter(), answers=probes((A, ("lora",)), (B, ())), before=before)[KEY]
    assert (["b"], ["a"], []) == tuple(map(names, (moving.lacking, moving.serving, moving.surplus)))

    there = planned(an_adapter(), answers=probes((A, ("lora",)), (B, ("lora",))), before=before)[KEY]
    assert (["b"], ["a"]) == (names(there.serving), names(there.surplus))


def test_while_engines_are_unknown_nothing_moves():
    wish = planned(an_adapter(), answers=probes((A, ("lora",))))[KEY]

    assert (("b",), [], ["a"]) == (wish.unknown, names(wish.placed), names(wish.serving))
    assert not wish.surplus


def test_a_pod_on_which_it_failed_comes_last():
    failing = [(KEY, "default/a")]
    assert ["b"] == names(planned(an_adapter(), failing=failing)[KEY].placed)
    assert ["a"] == names(planned(an_adapter(), pods=(A,), failing=failing)[KEY].placed)


def test_one_that_cannot_be_read_and_one_that_goes_are_not_placed():
    invalid = an_adapter("bad", url="ftp://x")
    going = an_adapter("going", meta={"deletion_timestamp": "2026-01-01T00:00:00Z"})

    wishes = planned(an_adapter(), invalid, going)

    assert {KEY, "default/bad"} == set(wishes)
    assert not wishes["default/bad"].placed and wishes["default/bad"].invalid.startswith("spec.artifactURL = 'ftp://x'")
    assert wishes[KEY].placed


def test_the_older_adapter_is_placed_first():
    young, old = (
        an_adapter(name, meta={"creation_timestamp": f"2026-01-0{day}T00:00:00Z"}, spec={"scheduler_name": "binPack"})
        for name, day in (("a-young", 2), ("z-old", 1))
    )
    slots = {key: probe._replace(slots=1) for key, probe in probes((A, ()), (B, ("other",))).items()}

    wishes = planned(young, old, answers=slots)

    assert {"a", "b"} == {*names(wishes["default/a-young"].placed), *names(wishes["default/z-old"].placed)}


def test_of_two_adapters_that_name_two_ports_of_one_pod_the_younger_goes_elsewhere():
    old, young = (
        an_adapter(name, meta={"creation_timestamp": f"2026-01-0{day}T00:00:00Z", "labels": {PORT: port}})
        for name, day, port in (("old", 1, "8000"), ("young", 2, "8001"))
    )
    free = a_pod("free", labels={**A.metadata.labels, PORT: "8001"})

    alone = planned(old, young, pods=(A,))
    assert (["a"], [], ["a"]) == (
        names(alone["default/old"].placed), names(alone["default/young"].placed),
        names(alone["default/young"].elsewhere),
    )  # fmt: skip

    answers = {"default/a": probes((A, ()))["default/a"], "default/free": Probe(host_of(free), frozenset())}
    wishes = planned(old, young, pods=(A, free), answers=answers)
    assert ["free"] == names(wishes["default/young"].placed)
