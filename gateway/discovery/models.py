"""The fleet that `models` in the configuration describes: endpoints and policies; and what steers requests for it.

Lives here: the translation, without I/O.  Not here: when the configuration is read (static), what contradicts itself in
it (gateway.config.checks).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gateway.config.aliases import AliasSettings
from gateway.config.apis import INSIDE, api_name
from gateway.config.picker import PickerSettings
from gateway.config.pools import MAX_PRIORITY, PoolSettings
from gateway.config.section import AUTO
from gateway.config.settings import EndpointSettings, ModelSettings, ProfileSettings, Settings
from gateway.discovery.description import FleetDescription, ModelPolicy
from gateway.openai.rewrites import Rewrite, Sticky, Target
from ratelimit.prices import prices_of
from routing.types import API, Endpoint


def describe(models: tuple[ModelSettings, ...]) -> FleetDescription:
    """Return the fleet of these models, which must not contradict each other (gateway.config.checks sees to that).

    An engine that is listed under several models is one endpoint that serves them all.  An adapter is a model name with
    the policy of its base model.
    """
    endpoints: dict[str, Endpoint] = {}
    for model in models:
        for settings in model.endpoints:
            endpoint = _endpoint(model.name, settings)
            earlier = endpoints.setdefault(endpoint.id, endpoint)
            models_of_both = dict.fromkeys(earlier.models + endpoint.models)  # a set that keeps the order
            lists_adapters = earlier.lists_adapters or endpoint.lists_adapters
            endpoints[endpoint.id] = replace(earlier, models=tuple(models_of_both), lists_adapters=lists_adapters)
    return FleetDescription(_policies(models), tuple(endpoints.values()))


def described(settings: Settings) -> FleetDescription:
    """Return the fleet that the settings describe by themselves."""
    return pooled(describe(settings.models), settings.pools) if settings.pools else describe(settings.models)


def steered(description: FleetDescription, picker: PickerSettings) -> FleetDescription:
    """Return the description with the objectives and rewrites of the settings."""
    return replace(
        description,
        objectives={objective.name: objective.priority for objective in picker.objectives},
        rewrites=tuple(
            Rewrite(rule.models, tuple(Target(target.model, target.weight) for target in rule.targets))
            for rule in picker.rewrites
        ),
    )


def aliased(description: FleetDescription, aliases: Sequence[AliasSettings]) -> FleetDescription:
    """Return the description with rules for these names, before those that there are."""
    rules = [
        Rewrite(
            (alias.name,),
            tuple(Target(target.model, target.weight) for target in alias.targets),
            Sticky(alias.sticky),
            alias.fallbacks,
        )
        for alias in aliases
    ]
    return replace(description, rewrites=(*rules, *description.rewrites))


def pooled(description: FleetDescription, pools: Sequence[PoolSettings]) -> FleetDescription:
    """Return the description with these pools, and with their priorities; what is in none of them comes last."""
    by_name = {pool.name: pool for pool in pools}
    priorities = {name: pool.priority for name, pool in by_name.items()}
    endpoints = tuple(
        replace(endpoint, pool_priority=priorities.get(endpoint.pool, MAX_PRIORITY + 1))
        for endpoint in description.endpoints
    )
    apis = [endpoint for pool in pools for endpoint in _api_endpoints(pool)]
    models = {**dict.fromkeys((name for api in apis for name in api.models), ModelPolicy()), **description.models}
    return replace(description, models=models, endpoints=(*endpoints, *apis), pools=by_name)


def _api_endpoints(pool: PoolSettings) -> Iterator[Endpoint]:
    """Yield one endpoint of the pool's API for each model, or a model would count as an adapter of another."""
    for number, model in enumerate(pool.api.models if pool.api is not None else ()):
        yield Endpoint(
            id=f"{pool.name}/{model}",
            name=pool.name,
            address=f"{INSIDE}{api_name(pool.name)}/{number}",
            models=(model,),
            engine=API,
            pool=pool.name,
            pool_priority=pool.priority,
        )


def _endpoint(model: str, settings: EndpointSettings) -> Endpoint:
    name = settings.name or settings.address
    return Endpoint(
        id=name,
        name=name,
        address=settings.address,
        models=(model,) if settings.adapters == (AUTO,) else (model, *settings.adapters),
        engine=settings.engine,
        deployment=settings.deployment,
        gpu_type=settings.gpu,
        pool=settings.pool,
        pool_priority=settings.pool_priority,
        labels=settings.labels,
        metrics=_metrics(settings),
        lists_adapters=settings.adapters == (AUTO,),
    )


def _policy(model: ModelSettings) -> ModelPolicy:
    policy = ModelPolicy(
        model.strategy,
        model.locked,
        model.rps,
        model.slo_ttft_s,
        model.slo_itl_s,
        model.scales_from_zero,
        model.waits_for_adapters,
        prices_of(model.prices.input, model.prices.output, model.prices.cached_input),
    )
    return replace(policy, profiles={profile.name: _under(policy, profile) for profile in model.profiles})


def _under(policy: ModelPolicy, profile: ProfileSettings) -> ModelPolicy:
    """Return the model's policy under a profile: what that does not say is as without it."""
    strategy = policy.strategy if policy.locked or not profile.strategy else profile.strategy
    return replace(policy, strategy=strategy, rps=policy.rps if profile.rps is None else profile.rps)


def _metrics(settings: EndpointSettings) -> str:
    """Return where the endpoint's metrics are, empty when they are at the usual place."""
    if not (settings.metric_port or settings.metric_path):
        return ""
    host, _, port = settings.address.rpartition(":")
    return f"{host}:{settings.metric_port or port}{settings.metric_path}"


def _policies(models: tuple[ModelSettings, ...]) -> dict[str, ModelPolicy]:
    """Return the policy of every model name; the adapters come after the models."""
    policies = {model.name: _policy(model) for model in models}
    for model in models:
        for settings in model.endpoints:
            for adapter in () if settings.adapters == (AUTO,) else settings.adapters:
                policies.setdefault(adapter, policies[model.name])
    return policies
