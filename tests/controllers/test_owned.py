"""The one thing that is done about one object: made, mended, deleted or left alone."""

import json
from typing import Any

import msgspec
import pytest

from controllers.owned import LABELS, Owned, Wanted, id_of, is_settled, mending, settle
from kube.errors import Conflict
from kube.objects import Kind, Metadata, body
from tests.support.kubernetes.conversation import Answer, Exchange, Request, answer
from tests.support.kubernetes.script import talking

GADGETS = Kind("example.org", "v1", "Gadget", "gadgets", Owned)
PATH = "/apis/example.org/v1/namespaces/n/gadgets"
WANTED = Wanted(GADGETS, "n", "a", {"size": 1, "color": "red"})


def an_object(labels: dict[str, str] | None = None, **spec: Any) -> Owned:
    metadata = Metadata(
        name="a", namespace="n", uid="u", resource_version="7", labels=LABELS if labels is None else labels
    )
    return Owned(metadata, spec)


GOING = Owned(msgspec.structs.replace(an_object().metadata, deletion_timestamp="2027-01-15T08:00:00Z"))
"""An object that a finalizer keeps after it was deleted."""


@pytest.mark.parametrize(
    ("wanted", "found", "is_so"),
    [
        (None, None, True),
        (WANTED, None, False),
        (WANTED, an_object(size=1, color="red"), True),
        (WANTED, an_object(size=2, color="red"), False),
        (WANTED, an_object(size=1), False),
        (WANTED, an_object(size=1, color="red", more=1), False),
        (None, an_object(), False),
        (WANTED, an_object({}, size=2), True),
        (WANTED, an_object({"app.kubernetes.io/managed-by": "Helm"}, size=2), True),
        (None, an_object({}), True),
        (None, GOING, True),
    ],
)
def test_an_object_is_settled_when_it_is_as_wanted_or_not_ours(wanted: Wanted | None, found: Owned | None, is_so: bool):
    assert is_so == is_settled(wanted, found)


def test_mending_takes_away_what_others_have_added_and_only_from_this_version():
    assert {"metadata": {"resourceVersion": "7"}, "spec": {"size": 1, "color": "red", "more": None}} == mending(
        WANTED, an_object(size=2, more=1)
    )


def test_an_object_has_one_name_among_those_of_all_kinds():
    assert "Gadget/n/a" == WANTED.id == id_of(GADGETS, an_object().metadata.key)


CREATED = body(GADGETS, "a", "n", metadata={"labels": LABELS}, spec=WANTED.spec)
MENDED = mending(WANTED, an_object(size=2))


def a_call(method: str, path: str, content: dict[str, Any], media_type: str = "application/json") -> Request:
    return Request(method, path, json.dumps(content, separators=(",", ":")), media_type)


CREATE = a_call("POST", f"{PATH}?fieldManager=forebay-test", CREATED)
MEND = a_call("PATCH", f"{PATH}/a?fieldManager=forebay-test", MENDED, "application/merge-patch+json")
DELETE = a_call("DELETE", f"{PATH}/a", {"preconditions": {"uid": "u"}})
OK, GONE, CHANGED = answer("{}"), answer('{"code": 404}', status=404), answer('{"code": 409}', status=409)


@pytest.mark.parametrize(
    ("wanted", "found", "exchanges"),
    [
        (WANTED, None, [(CREATE, OK)]),
        (WANTED, an_object(size=2), [(MEND, OK)]),
        (None, an_object(), [(DELETE, OK)]),
        (None, an_object(), [(DELETE, GONE)]),
        (WANTED, an_object({}, size=2), []),
        (WANTED, an_object(**WANTED.spec), []),
    ],
)
async def test_one_call_settles_an_object(wanted: Wanted | None, found: Owned | None, exchanges: list[Exchange]):
    async with talking(exchanges) as (client, double):
        await settle(client, GADGETS, wanted, found)

        assert [] == double.unsaid


@pytest.mark.parametrize("told", [CHANGED, GONE], ids=["changed", "gone"])
async def test_an_object_that_changed_meanwhile_is_not_mended(told: Answer):
    async with talking([(MEND, told)]) as (client, _):
        with pytest.raises(Conflict):
            await settle(client, GADGETS, WANTED, an_object(size=2))
