"""What `models` in the configuration means: endpoints and policies.

Lives here: the pure translation and its rules.  Not here: when the configuration is read (static), what it
may not say (gateway.config.checks).
"""

from dataclasses import replace

from gateway.config.settings import EndpointSettings, ModelSettings
from gateway.discovery.description import FleetDescription, ModelPolicy
from routing.types import Endpoint


def describe(models: tuple[ModelSettings, ...]) -> FleetDescription:
    """Return the fleet that `models` means; that they do not contradict each other was checked when they were read.

    An engine listed under several models is one endpoint that serves them all.  An adapter is a model name with its
    base model's policy, unless it is listed as a model itself.
    """
    endpoints: dict[str, Endpoint] = {}
    for model in models:
        for settings in model.endpoints:
            endpoint = _endpoint(model.name, settings)
            earlier = endpoints.setdefault(endpoint.id, endpoint)
            both = dict.fromkeys(earlier.models + endpoint.models)
            endpoints[endpoint.id] = replace(earlier, models=tuple(both))
    return FleetDescription(_policies(models), tuple(endpoints.values()))


def _endpoint(model: str, settings: EndpointSettings) -> Endpoint:
    name = settings.name or settings.address
    return Endpoint(
        id=name,
        name=name,
        address=settings.address,
        models=(model, *settings.adapters),
        engine=settings.engine,
        deployment=settings.deployment,
        gpu_type=settings.gpu,
        pool=settings.pool,
        pool_priority=settings.pool_priority,
        labels=settings.labels,
        metrics=_metrics(settings),
    )


def _policy(model: ModelSettings) -> ModelPolicy:
    return ModelPolicy(model.strategy, model.locked, model.rps, model.slo_ttft_s, model.slo_itl_s)


def _metrics(settings: EndpointSettings) -> str:
    if not (settings.metric_port or settings.metric_path):
        return ""
    host, _, port = settings.address.rpartition(":")
    return f"{host}:{settings.metric_port or port}{settings.metric_path}"


def _policies(models: tuple[ModelSettings, ...]) -> dict[str, ModelPolicy]:
    """Return the policy of every model name, adapters after the models."""
    policies = {model.name: _policy(model) for model in models}
    for model in models:
        for settings in model.endpoints:
            for adapter in settings.adapters:
                policies.setdefault(adapter, policies[model.name])
    return policies
