"""What `models` in the configuration means: endpoints and policies.

Lives here: the pure translation and its rules.  Not here: when the configuration is read (static).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.settings import EndpointSettings, ModelSettings
from routing.table import STRATEGIES, UnknownStrategyError
from routing.types import Endpoint


class InvalidFleetError(ValueError):
    """The models contradict themselves; `problems` has one line for each contradiction."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


def describe(models: tuple[ModelSettings, ...]) -> FleetDescription:
    """Return the fleet that `models` means.

    An engine listed under several models, with the same name and address, is one endpoint that serves them all.  An
    adapter is a model name with its base model's policy, unless it is listed as a model itself.
    Raises InvalidFleetError.
    """
    problems = [*_repeated_models(models), *_unknown_strategies(models)]
    endpoints: dict[str, Endpoint] = {}
    for model in models:
        for settings in model.endpoints:
            endpoint = _endpoint(model.name, settings)
            earlier = endpoints.setdefault(endpoint.id, endpoint)
            if replace(earlier, models=()) == replace(endpoint, models=()):
                both = dict.fromkeys(earlier.models + endpoint.models)
                endpoints[endpoint.id] = replace(earlier, models=tuple(both))
            else:
                problems.append(_contradiction(earlier, endpoint))
    problems += _shared_addresses(endpoints.values())
    if problems:
        raise InvalidFleetError(problems)
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
    )


def _policies(models: tuple[ModelSettings, ...]) -> dict[str, ModelPolicy]:
    """Return the policy of every model name, adapters after the models."""
    policies = {model.name: ModelPolicy(model.strategy, model.locked) for model in models}
    for model in models:
        for settings in model.endpoints:
            for adapter in settings.adapters:
                policies.setdefault(adapter, policies[model.name])
    return policies


def _repeated_models(models: tuple[ModelSettings, ...]) -> Iterator[str]:
    for name, times in Counter(model.name for model in models).items():
        if times > 1:
            yield f"model = {name!r}, must be listed once; it is listed {times} times"


def _unknown_strategies(models: tuple[ModelSettings, ...]) -> Iterator[str]:
    for model in models:
        if model.strategy and model.strategy not in STRATEGIES:
            yield f"model = {model.name!r}, {UnknownStrategyError(model.strategy)}"


def _contradiction(one: Endpoint, other: Endpoint) -> str:
    fields = ("address", "engine", "deployment", "gpu_type", "pool", "pool_priority", "labels")
    differing = ", ".join(
        f"{field} {getattr(one, field)!r} or {getattr(other, field)!r}"
        for field in fields
        if getattr(one, field) != getattr(other, field)
    )
    return f"endpoint = {one.name!r}, must be described alike wherever it is listed; it has {differing}"


def _shared_addresses(endpoints: Iterable[Endpoint]) -> Iterator[str]:
    """An engine under two names would be counted as two, each with half of its requests."""
    first: dict[str, str] = {}
    for endpoint in endpoints:
        name = first.setdefault(endpoint.address, endpoint.name)
        if name != endpoint.name:
            yield f"address = {endpoint.address!r}, must have one name; it is called {name!r} and {endpoint.name!r}"
