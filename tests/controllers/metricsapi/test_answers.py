"""The documents are those that Kubernetes' controllers read."""

from http import HTTPStatus

from controllers.metricsapi.answers import (
    API_SERVICES,
    CUSTOM,
    EXTERNAL,
    Value,
    external_values,
    failure,
    group,
    pod_values,
    resources,
)

NOW_S = 1_800_000_000.0


def test_an_external_metric_is_a_list_of_quantities_with_labels():
    document = external_values("m", [Value({"model": "a"}, 0.5), Value({"model": "b"}, 3)], NOW_S)

    assert ("ExternalMetricValueList", "external.metrics.k8s.io/v1beta1") == (document["kind"], document["apiVersion"])
    assert [
        {"metricName": "m", "metricLabels": {"model": "a"}, "timestamp": "2027-01-15T08:00:00Z", "value": "500m"},
        {"metricName": "m", "metricLabels": {"model": "b"}, "timestamp": "2027-01-15T08:00:00Z", "value": "3"},
    ] == document["items"]


def test_the_two_versions_of_a_metric_of_pods_name_it_in_their_own_ways():
    new, old = (pod_values(version, "n", "m", {"p": 2.0}, NOW_S) for version in ("v1beta2", "v1beta1"))

    assert ["custom.metrics.k8s.io/v1beta2", "custom.metrics.k8s.io/v1beta1"] == [new["apiVersion"], old["apiVersion"]]
    assert [{"name": "m"}, "m"] == [new["items"][0]["metric"], old["items"][0]["metricName"]]
    described = {"kind": "Pod", "namespace": "n", "name": "p", "apiVersion": "/v1"}
    assert described == new["items"][0]["describedObject"] == old["items"][0]["describedObject"]


def test_discovery_names_groups_versions_and_metrics():
    assert "custom.metrics.k8s.io/v1beta2" == group(CUSTOM)["preferredVersion"]["groupVersion"]
    listed = resources(EXTERNAL, "v1beta1", ["m"], "ExternalMetricValueList")
    assert ("external.metrics.k8s.io/v1beta1", ["m"]) == (
        listed["groupVersion"],
        [one["name"] for one in listed["resources"] if one["namespaced"]],
    )
    assert {"v1beta1.external.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"} < set(API_SERVICES)


def test_an_error_is_a_status_with_kubernetes_word_for_it():
    assert ("Failure", "NotFound", 404, "why") == tuple(
        failure(HTTPStatus.NOT_FOUND, "why")[name] for name in ("status", "reason", "code", "message")
    )
    assert "BadRequest" == failure(HTTPStatus.BAD_REQUEST, "")["reason"]
