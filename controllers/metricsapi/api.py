"""The paths of external.metrics.k8s.io and custom.metrics.k8s.io.

Lives here: paths, statuses, selectors.  Not here: values (external, pods), the JSON (answers), TLS and who may call
(front_proxy).
"""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from controllers.metricsapi import external, pods
from controllers.metricsapi.answers import (
    CUSTOM,
    EXTERNAL,
    VERSIONS,
    MissingError,
    external_values,
    failure,
    group,
    pod_values,
    resources,
)
from controllers.metricsapi.external import ExternalMetrics
from controllers.metricsapi.pods import PodMetrics
from routing.selectors import InvalidSelectorError, Selector, parse_selector

LISTED = {
    EXTERNAL: (external.METRICS, "ExternalMetricValueList"),
    CUSTOM: (tuple(f"pods/{name}" for name in pods.METRICS), "MetricValueList"),
}
"""The metrics that each API says it has, and the kind of their values."""


class MetricsApi:
    """Answers for the values of two sources.  `now_s` returns seconds since the epoch."""

    def __init__(self, external: ExternalMetrics, pods: PodMetrics, now_s: Callable[[], float]) -> None:
        self._external, self._pods, self._now_s = external, pods, now_s

    def app(self) -> Starlette:
        """Return the application.  All that is no value is answered with a Status, as Kubernetes does."""
        of_pods = f"/apis/{CUSTOM}/{{version}}/namespaces/{{namespace}}/pods/{{pod}}/{{metric}}"
        routes = [
            *_described(),
            Route(f"/apis/{EXTERNAL}/v1beta1/namespaces/{{namespace}}/{{metric}}", self.of_models),
            Route(of_pods, self.of_pods),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _on_http_error, MissingError: _on_missing})

    async def of_models(self, request: Request) -> Response:
        """Answer for an external metric.  Raises MissingError, and HTTPException for a selector that is none."""
        metric, namespace = request.path_params["metric"], request.path_params["namespace"]
        values = await self._external.read(metric, namespace, _selector(request, "labelSelector"))
        return JSONResponse(external_values(metric, values, self._now_s()))

    async def of_pods(self, request: Request) -> Response:
        """Answer for a metric of pods.  Raises MissingError, and HTTPException for what cannot be answered."""
        version, namespace, pod, metric = (
            request.path_params[name] for name in ("version", "namespace", "pod", "metric")
        )
        if version not in VERSIONS[CUSTOM]:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no {CUSTOM}/{version}")
        if _selector(request, "metricLabelSelector").requirements:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "series of a pod are not told apart by labels")
        _selector(request, "labelSelector")
        values = await self._pods.read(metric, namespace, pod, request.query_params.get("labelSelector", ""))
        return JSONResponse(pod_values(version, namespace, metric, values, self._now_s()))


def _described() -> Iterator[Route]:
    """Yield the pages that say what there is."""
    yield _fixed("/apis", {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(name) for name in VERSIONS]})
    for name, versions in VERSIONS.items():
        yield _fixed(f"/apis/{name}", group(name))
        for version in versions:
            yield _fixed(f"/apis/{name}/{version}", resources(name, version, *LISTED[name]))


def _fixed(path: str, document: Any) -> Route:
    async def page(_request: Request) -> Response:
        return JSONResponse(document)

    return Route(path, page)


def _selector(request: Request, parameter: str) -> Selector:
    try:
        return parse_selector(request.query_params.get(parameter, ""))
    except InvalidSelectorError as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from error


def _on_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    return _failed(HTTPStatus(error.status_code), error.detail)


def _on_missing(_request: Request, error: Exception) -> Response:
    return _failed(HTTPStatus.NOT_FOUND, str(error))


def _failed(status: HTTPStatus, message: str) -> Response:
    return JSONResponse(failure(status, message), status_code=status)
