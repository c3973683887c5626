"""Kinds, their paths and what is read of their objects."""

import msgspec
import pytest

from kube.objects import Kind, Metadata, Object, body, read_list, read_told


class Sized(Object, frozen=True):
    size: int = 0


CORE = Kind("", "v1", "Pod", "pods", Sized)
GROUPED = Kind("apps", "v1", "Deployment", "deployments", Sized)


def test_paths_name_group_namespace_object_and_subresource():
    assert [
        "/api/v1/pods",
        "/api/v1/namespaces/a/pods",
        "/apis/apps/v1/namespaces/a/deployments/b",
        "/apis/apps/v1/namespaces/a/deployments/b/status",
        "/apis/apps/v1/deployments/..%2Fb",
    ] == [
        CORE.path(),
        CORE.path("a"),
        GROUPED.path("a", "b"),
        GROUPED.path("a", "b", "status"),
        GROUPED.path("", "../b"),
    ]


def test_only_the_fields_of_the_model_are_kept():
    read = CORE.decode(b'{"kind":"Pod","metadata":{"name":"a","managedFields":[{}]},"spec":{},"size":3}')

    assert Sized(Metadata(name="a"), 3) == read


def test_an_object_that_does_not_fit_is_an_error():
    with pytest.raises(msgspec.ValidationError):
        CORE.decode(b'{"metadata":{},"size":"big"}')


def test_keys_have_the_namespace_where_there_is_one():
    assert ("a/b", "b") == (Metadata("b", "a").key, Metadata("b").key)


def test_a_list_tells_its_version_and_the_rest():
    whole = read_list(b'{"items":null,"metadata":{"resourceVersion":"7"}}')
    part = read_list(b'{"items":[{"size":1}],"metadata":{"resourceVersion":"7","continue":"x"}}')

    assert ([], "7", "") == (list(whole.objects), whole.version, whole.rest)
    assert (1, "x") == (CORE.decode(part.objects[0]).size, part.rest)


def test_half_a_line_is_an_error():
    with pytest.raises(msgspec.MsgspecError):
        read_told(b'{"type":"ADDED","object":{"metadata"')


def test_a_body_names_its_kind():
    assert {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "b", "namespace": "a", "labels": {"x": "y"}},
        "spec": {"replicas": 1},
    } == body(GROUPED, "b", "a", metadata={"labels": {"x": "y"}}, spec={"replicas": 1})
    assert "namespace" not in body(CORE, "b")["metadata"]
