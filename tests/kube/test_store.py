"""A set and what changes in it."""

from kube.objects import Event, Metadata, Object
from kube.store import Store


def an_object(name: str, version: int = 1) -> Object:
    return Object(Metadata(name=name, resource_version=str(version)))


def an_event(kind: str, name: str, version: int) -> Event[Object]:
    return Event(kind, str(version), name, an_object(name, version))


def a_store(*objects: Object) -> Store[Object]:
    store = Store[Object]()
    store.replace(objects, "10")
    return store


def test_a_list_tells_what_is_new_changed_and_gone():
    store = a_store(an_object("same"), an_object("changed"), an_object("gone"))

    keys = store.replace([an_object("same"), an_object("changed", 12), an_object("new", 11)], "13")

    assert {"changed", "gone", "new"} == keys
    assert {"same", "changed", "new"} == store.objects.keys()
    assert "13" == store.version


def test_an_object_that_is_not_wanted_is_as_one_that_is_not_there():
    store = Store[Object](lambda one: one.metadata.name != "other" and one.metadata.resource_version != "12")

    assert {"a"} == store.replace([an_object("a"), an_object("other")], "10")
    assert set() == store.take([an_event("MODIFIED", "other", 11)])
    assert {"a"} == store.take([an_event("MODIFIED", "a", 12)])
    assert {} == store.objects
    assert {"a"} == store.take([an_event("MODIFIED", "a", 13)])


def test_events_change_the_set_and_its_version():
    store = a_store(an_object("a"), an_object("b"))

    keys = store.take([an_event("ADDED", "c", 11), an_event("MODIFIED", "a", 12), an_event("DELETED", "b", 13)])

    assert {"a", "b", "c"} == keys
    assert {"a": an_object("a", 12), "c": an_object("c", 11)} == store.objects
    assert "13" == store.version


def test_a_bookmark_moves_the_version_only():
    store = a_store(an_object("a"))

    assert set() == store.take([Event("BOOKMARK", "99", "", None)])
    assert ("99", {"a": an_object("a")}) == (store.version, store.objects)


def test_what_does_not_fit_stays_as_it_was_until_it_is_gone():
    store = a_store(an_object("a"))

    assert set() == store.take([Event("MODIFIED", "11", "a", None)])
    assert {"a": an_object("a")} == store.objects

    assert {"a"} == store.take([Event("DELETED", "12", "a", None)])
    assert {} == store.objects


def test_what_is_gone_twice_is_gone():
    store = a_store()

    assert {"a"} == store.take([an_event("DELETED", "a", 11)])
    assert {} == store.objects


def test_the_view_follows_and_cannot_be_changed():
    store = a_store()
    view = store.objects
    store.take([an_event("ADDED", "a", 11)])

    assert ["a"] == list(view)
    assert not hasattr(view, "__setitem__")
