"""The rules that hold between keys.

Lives here: one function for each rule; it reads settings whose values are sound by themselves.  Not here: rules about
single values (settings), collecting what is wrong (problems).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from difflib import get_close_matches

from gateway.config.addresses import is_loopback, overlap, redis_database, split_address
from gateway.config.aliases import AliasSettings
from gateway.config.picker import ObjectiveSettings
from gateway.config.pools import PoolSettings
from gateway.config.problems import Problems
from gateway.config.section import AUTO
from gateway.config.settings import (
    ANONYMOUS_WORDS,
    EndpointSettings,
    ModelSettings,
    RedisSettings,
    ScrapeSettings,
    Settings,
)
from gateway.config.tls import GatewayTlsSettings, ListenTlsSettings, TlsSettings
from gateway.config.validation import shown
from ratelimit.accounts.names import checked_name
from routing.mixture import parse_mixture

Named = ModelSettings | ObjectiveSettings | PoolSettings | AliasSettings
Finding = tuple[str, object, str]
"""A key, its value, and the rule that it breaks."""

_CLOSE_TO_A_WORD = 0.8
"""Similarity, of difflib, from which a value of `anonymous` counts as a misspelt word: `Deny`, `denny`, `alow`."""
_LIKE_WORDS = frozenset({
    "denied", "refuse", "reject", "forbid", "block", "permit", "none", "null", "true", "false", "yes", "no", "on",
    "off",
})  # fmt: skip
"""Other words for the same, which nobody means as a user's name."""


def check(settings: Settings, strategies: Collection[str], problems: Problems) -> None:
    """Add every finding to `problems`; a rule is skipped if something is already wrong with a key that it reads."""
    models, wrong = settings.models, problems.concerns
    checks: tuple[tuple[tuple[str, ...], Callable[[], Iterator[Finding]]], ...] = (
        (("listen.admin", "admin_token", "admin_open"), lambda: _admin_is_guarded(settings)),
        (("admin_token",), lambda: _token_can_be_sent(settings.admin_token)),
        ((), lambda: _distinct_ports(settings, wrong)),
        (("models", "models_file", "kubernetes.enabled"), lambda: _one_source_of_models(settings)),
        (("picker", "kubernetes.enabled"), lambda: _one_source_of_objectives(settings)),
        (("picker.objectives",), lambda: _unique_names("picker.objectives", settings.picker.objectives)),
        (("pools",), lambda: _unique_names("pools", settings.pools)),
        (("aliases",), lambda: _unique_names("aliases", settings.aliases)),
        (("aliases", "models"), lambda: _aliases_are_for_models(settings)),
        (("pools",), lambda: _one_priority_each(settings.pools)),
        (("pools",), lambda: _known_pools(settings)),
        (("pools", "kubernetes.enabled"), lambda: _apis_have_keys_and_our_envoy(settings)),
        (("anonymous",), lambda: _anonymous_is_meant(settings.anonymous_requests)),
        (("redis.url", "redis.cluster"), lambda: _cluster_has_one_database(settings.redis)),
        (("scrape.interval_s", "scrape.stale_after_s"), lambda: _metrics_outlive_an_interval(settings.scrape)),
        (("envoy.tls",), lambda: _certificate_has_its_key("envoy.tls", settings.envoy.tls)),
        (("listen.tls",), lambda: _listen_tls_is_whole(settings.listen.tls)),
        (("envoy.gateway_tls",), lambda: _gateway_tls_is_whole(settings.envoy.gateway_tls)),
        (("envoy.fail_open", "identity", "pools"), lambda: _no_fail_open_with_keys(settings)),
        (("envoy.body_mode", "response_mode"), lambda: _full_duplex_needs_the_response(settings)),
        (("routing.strategy",), lambda: _known_strategy("routing.strategy", settings.routing.strategy, strategies)),
        (("routing.shadow",), lambda: _known_shadow(settings.routing.shadow, strategies)),
        ((), lambda: _known_model_strategies(models, strategies)),
        ((), lambda: _unique_names("models", models)),
        ((), lambda: _unique_profiles(models)),
        ((), lambda: _unique_adapters(models)),
        ((), lambda: _unique_endpoints(models, wrong)),
    )
    sound = [findings for keys, findings in checks if not any(map(wrong, keys))]
    found = [finding for findings in sound for finding in findings()]
    for key, value, rule in found:
        problems.add_value(key, value, rule)


def _admin_is_guarded(settings: Settings) -> Iterator[Finding]:
    host, _ = split_address(settings.listen.admin)
    if settings.admin_token and settings.admin_open:
        yield "admin_open", True, "must be false with an admin_token"
    if not (settings.admin_token or settings.admin_open or is_loopback(host)):
        yield "listen.admin", settings.listen.admin, "must be a loopback address unless admin_token is set"


def _token_can_be_sent(token: str) -> Iterator[Finding]:
    if token != token.strip():
        yield "admin_token", token, "must not begin or end with a blank, which HTTP removes from a header"


def _distinct_ports(settings: Settings, wrong: Callable[[str], bool]) -> Iterator[Finding]:
    """Check that no two listeners take the same connections.

    The gateway's own have each a port of their own on whatever address, by which a worker tells the admin REST from
    what others may ask.
    """
    listen, envoy = settings.listen, settings.envoy
    faces = {f"listen.{name}": getattr(listen, name) for name in ("grpc", "http", "admin")}
    workers = {f"listen.workers[{index}]": address for index, address in enumerate(listen.workers)}
    envoys = {"envoy.listen": envoy.listen, "envoy.admin": envoy.admin}
    before: list[tuple[str, str]] = []
    for key, address in (faces | workers | envoys).items():
        if wrong(key):
            continue
        for owner, taken in before:
            same_port = split_address(address)[1] == split_address(taken)[1]
            if (owner in faces and key not in envoys and same_port) or overlap(address, taken):
                yield key, address, f"must have a port of its own, {owner} has it"
                break
        before.append((key, address))


def _one_source_of_models(settings: Settings) -> Iterator[Finding]:
    if settings.models and settings.models_file:
        yield "models_file", settings.models_file, "must be empty when models are given here"
    if settings.kubernetes.enabled and (settings.models or settings.models_file):
        yield "kubernetes.enabled", True, "must be false when models or a models_file are given"


def _one_source_of_objectives(settings: Settings) -> Iterator[Finding]:
    picker = settings.picker
    if not picker.service:
        return
    if picker.service.count("/") != 1 or not all(picker.service.split("/")):
        yield "picker.service", picker.service, "must be namespace/name"
    if not settings.kubernetes.enabled:
        yield "picker.service", picker.service, "must be empty without kubernetes.enabled"
    for name in ("objectives", "rewrites"):
        if given := getattr(picker, name):
            yield f"picker.{name}", len(given), "must be empty with picker.service, the cluster has them"


def _anonymous_is_meant(anonymous: str) -> Iterator[Finding]:
    """Check that a misspelt keyword does not become the name of a user that does not exist."""
    word = anonymous.strip().casefold()
    if anonymous in ANONYMOUS_WORDS:
        return
    close = get_close_matches(word, ANONYMOUS_WORDS, n=1, cutoff=_CLOSE_TO_A_WORD)
    if close or word in _LIKE_WORDS:
        hint = f"; did you mean {close[0]}?" if close else ""
        yield "anonymous", anonymous, f"must be allow, deny or the name of a user{hint}"
        return
    try:
        checked_name(anonymous)
    except ValueError as error:
        yield "anonymous", anonymous, f"{error}, as the name of a user"


def _cluster_has_one_database(redis: RedisSettings) -> Iterator[Finding]:
    if redis.cluster and redis_database(redis.url) != 0:
        yield "redis.url", redis.url, "must have database 0 with redis.cluster"


def _metrics_outlive_an_interval(scrape: ScrapeSettings) -> Iterator[Finding]:
    if scrape.interval_s >= scrape.stale_after_s:
        rule = f"must be less than scrape.stale_after_s = {scrape.stale_after_s:g}, or metrics are always missing"
        yield "scrape.interval_s", scrape.interval_s, rule


def _certificate_has_its_key(
    section: str, tls: TlsSettings | ListenTlsSettings | GatewayTlsSettings
) -> Iterator[Finding]:
    for name, other in (("cert", tls.key), ("key", tls.cert)):
        if other and not getattr(tls, name):
            yield f"{section}.{name}", "", "must be given, as the other of cert and key is"


def _listen_tls_is_whole(tls: ListenTlsSettings) -> Iterator[Finding]:
    yield from _certificate_has_its_key("listen.tls", tls)
    if tls.cert and not tls.addresses:
        yield "listen.tls.addresses", "[]", "must name an address, or nothing speaks TLS"
    elif tls.client_ca and "grpc" not in tls.on:
        rule = "must be empty unless listen.tls has a certificate and its addresses name grpc"
        yield "listen.tls.client_ca", tls.client_ca, rule
    if tls.addresses and "addresses" in tls.model_fields_set and not (tls.cert or tls.key):
        yield "listen.tls.cert", "", "must be given, or the addresses of listen.tls speak plain text"


def _gateway_tls_is_whole(tls: GatewayTlsSettings) -> Iterator[Finding]:
    yield from _certificate_has_its_key("envoy.gateway_tls", tls)
    if tls.ca and not tls.name:
        yield "envoy.gateway_tls.name", "", "must be the name in the gateways' certificates, as there is a ca"
    if not tls.ca and (tls.cert or tls.name):
        yield "envoy.gateway_tls.ca", "", "must be given, or Envoy speaks plain text to the gateways"


def _no_fail_open_with_keys(settings: Settings) -> Iterator[Finding]:
    if not settings.envoy.fail_open:
        return
    if settings.identity == "api_key":
        yield "envoy.fail_open", True, "must be false with identity: api_key, or keys are unchecked and reach engines"
    if any(pool.api is not None for pool in settings.pools):
        yield "envoy.fail_open", True, "must be false with an API in pools, or anybody's requests are paid there"


def _full_duplex_needs_the_response(settings: Settings) -> Iterator[Finding]:
    """Check that the modes fit: Envoy 1.39 ends a full-duplex exchange with the request unless the response follows."""
    if settings.envoy.body_mode == "full_duplex_streamed" and settings.response_mode == "metadata":
        yield "envoy.body_mode", "full_duplex_streamed", "must be buffered with response_mode: metadata"


def _known_strategy(key: str, name: str, strategies: Collection[str]) -> Iterator[Finding]:
    if not _is_strategy(name, strategies):
        close = get_close_matches(name, strategies, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        yield key, name, f"must be one of {', '.join(sorted(strategies))}{hint}"


def _known_shadow(name: str, strategies: Collection[str]) -> Iterator[Finding]:
    if name:
        yield from _known_strategy("routing.shadow", name, strategies)


def _is_strategy(name: str, strategies: Collection[str]) -> bool:
    try:
        return name in strategies or all(share.name in strategies for share in parse_mixture(name))
    except ValueError:
        return False


def _known_model_strategies(models: tuple[ModelSettings, ...], strategies: Collection[str]) -> Iterator[Finding]:
    for index, model in enumerate(models):
        if model.strategy:
            yield from _known_strategy(f"models[{index}].strategy", model.strategy, strategies)
        for number, profile in enumerate(model.profiles):
            if profile.strategy:
                key = f"models[{index}].profiles[{number}].strategy"
                yield from _known_strategy(key, profile.strategy, strategies)


def _unique_names(key: str, named: Sequence[Named]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, each in enumerate(named):
        other = first.setdefault(each.name, index)
        if other != index:
            yield f"{key}[{index}].name", each.name, f"must be unique, {key.rpartition('.')[2]}[{other}] has it"


def _aliases_are_for_models(settings: Settings) -> Iterator[Finding]:
    """Check that aliases are no models, and stand for some; without `models` here engines elsewhere have others."""
    names = {model.name for model in settings.models}
    names |= {adapter for model in settings.models for endpoint in model.endpoints for adapter in endpoint.adapters}
    names |= {model for pool in settings.pools if pool.api is not None for model in pool.api.models}
    for index, alias in enumerate(settings.aliases):
        if alias.name in names or any(target.model == alias.name for target in alias.targets):
            yield f"aliases[{index}].name", alias.name, "must not be the name of a model"
        asked = [(f"targets[{place}].model", target.model) for place, target in enumerate(alias.targets)]
        asked += [(f"fallbacks[{place}]", model) for place, model in enumerate(alias.fallbacks)]
        for key, model in asked if settings.models and AUTO not in names else ():
            if model not in names:
                yield f"aliases[{index}].{key}", model, f"must be one of models: {', '.join(sorted(names))}"


def _one_priority_each(pools: Sequence[PoolSettings]) -> Iterator[Finding]:
    first: dict[int, str] = {}
    for index, pool in enumerate(pools):
        other = first.setdefault(pool.priority, pool.name)
        if other != pool.name:
            yield f"pools[{index}].priority", pool.priority, f"must be unique, pool {other} has it"


def _known_pools(settings: Settings) -> Iterator[Finding]:
    """Check that no misspelt pool is taken for one that is preferred to all others."""
    names = [pool.name for pool in settings.pools]
    for index, model in enumerate(settings.models if names else ()):
        for position, endpoint in enumerate(model.endpoints):
            if endpoint.pool not in names:
                rule = f"must be one of pools: {', '.join(names)}"
                yield f"models[{index}].endpoints[{position}].pool", endpoint.pool, rule


def _apis_have_keys_and_our_envoy(settings: Settings) -> Iterator[Finding]:
    for index, pool in enumerate(settings.pools):
        if (api := pool.api) is None:
            continue
        key = f"pools[{index}].api"
        if bool(api.key_file) == bool(api.key_env):
            yield f"{key}.key_file", api.key_file, "must be given, or key_env, and not both"
        if api.cost_day is not None and not (pool.prices.input or pool.prices.output):
            yield f"{key}.cost_day", api.cost_day, f"must come with pools[{index}].prices"
        if settings.kubernetes.enabled or settings.picker.service:
            yield key, api.url, "must not be set where other software describes the endpoints to Envoy"


def _unique_profiles(models: tuple[ModelSettings, ...]) -> Iterator[Finding]:
    for index, model in enumerate(models):
        names = [profile.name for profile in model.profiles]
        for number, name in enumerate(names):
            if names.index(name) != number:
                yield f"models[{index}].profiles[{number}].name", name, "must be unique in its model"


def _unique_adapters(models: tuple[ModelSettings, ...]) -> Iterator[Finding]:
    """Check that no request could mean both a model and an adapter, and that a pod has each adapter once."""
    names = {model.name: index for index, model in enumerate(models)}
    for index, model in enumerate(models):
        for position, endpoint in enumerate(model.endpoints):
            for place, adapter in enumerate(() if endpoint.adapters == (AUTO,) else endpoint.adapters):
                key = f"models[{index}].endpoints[{position}].adapters[{place}]"
                if adapter in names:
                    yield key, adapter, f"must not be the name of a model, models[{names[adapter]}] has it"
                elif endpoint.adapters.index(adapter) != place:
                    yield key, adapter, "must be unique in the endpoint"


def _unique_endpoints(models: tuple[ModelSettings, ...], wrong: Callable[[str], bool]) -> Iterator[Finding]:
    """Check that an address is listed once in a model, and has one name and one description in all models.

    Requests in flight are counted by the pod's name: a pod with two names would count as two, each with half the load.
    """
    pods: dict[str, EndpointSettings] = {}
    names: dict[str, str] = {}
    for index, model in enumerate(models):
        first: dict[str, int] = {}
        for position, endpoint in enumerate(model.endpoints):
            key = f"models[{index}].endpoints[{position}]"
            if wrong(key):
                continue
            other = first.setdefault(endpoint.address, position)
            if other != position:
                yield f"{key}.address", endpoint.address, f"must be unique in the model, endpoints[{other}] has it"
                continue
            name = endpoint.name or endpoint.address
            first_name = names.setdefault(endpoint.address, name)
            pod = pods.setdefault(name, endpoint)
            if pod.address != endpoint.address:
                yield f"{key}.name", name, f"must name one pod, it already names {pod.address}"
            elif first_name != name:
                yield f"{key}.name", name, f"must be {first_name}, the name that {endpoint.address} already has"
            else:
                yield from _described_alike(key, pod, endpoint)


def _described_alike(key: str, pod: EndpointSettings, again: EndpointSettings) -> Iterator[Finding]:
    for field in sorted(EndpointSettings.model_fields.keys() - {"name", "address", "adapters"}):
        before, now = getattr(pod, field), getattr(again, field)
        if before != now:
            yield f"{key}.{field}", now, f"must be {shown(field, before)}, as where {again.address} is listed first"
