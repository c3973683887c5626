"""The rules that hold between keys.

Lives here: one function for each rule; it reads settings whose values are sound by themselves.  Not here: rules about
single values (settings), collecting what is wrong (problems).
"""

from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches

from gateway.config.addresses import is_loopback, split_address
from gateway.config.problems import Problems
from gateway.config.settings import EndpointSettings, ListenSettings, ModelSettings, Settings
from gateway.config.validation import shown
from routing.mixture import parse_mixture

Finding = tuple[str, object, str]
"""A key, its value, and the rule that it breaks."""


def check(settings: Settings, strategies: Collection[str], problems: Problems) -> None:
    """Add every finding to `problems`; a rule is skipped if something is already wrong in a section that it reads."""
    checks: tuple[tuple[tuple[str, ...], Callable[[], Iterator[Finding]]], ...] = (
        (("listen", "admin_token"), lambda: _admin_is_guarded(settings)),
        (("listen",), lambda: _distinct_ports(settings.listen)),
        (("models", "models_file"), lambda: _one_source_of_models(settings)),
        (("envoy", "identity"), lambda: _no_fail_open_with_api_keys(settings)),
        (("envoy", "response_mode"), lambda: _full_duplex_needs_the_response(settings)),
        (("routing",), lambda: _known_strategy("routing.strategy", settings.routing.strategy, strategies)),
        (("routing",), lambda: _known_shadow(settings.routing.shadow, strategies)),
        (("models",), lambda: _known_model_strategies(settings.models, strategies)),
        (("models",), lambda: _unique_models(settings.models)),
        (("models",), lambda: _unique_endpoints(settings.models)),
    )
    sound = [findings for sections, findings in checks if not any(map(problems.concerns, sections))]
    for findings in sound:
        for key, value, rule in findings():
            problems.add_value(key, value, rule)


def _admin_is_guarded(settings: Settings) -> Iterator[Finding]:
    host, _ = split_address(settings.listen.admin)
    if not settings.admin_token and not is_loopback(host):
        yield "listen.admin", settings.listen.admin, "must be a loopback address unless admin_token is set"


def _distinct_ports(listen: ListenSettings) -> Iterator[Finding]:
    """Check that no two addresses share a port, by which a worker tells the admin REST from what others may ask."""
    owners: dict[int, str] = {}
    for name in ("grpc", "http", "admin"):
        address = getattr(listen, name)
        owner = owners.setdefault(split_address(address)[1], name)
        if owner != name:
            yield f"listen.{name}", address, f"must have a port of its own, listen.{owner} has it"
    taken: dict[str, int] = {}
    for index, address in enumerate(listen.workers):
        if owner := owners.get(split_address(address)[1], ""):
            yield f"listen.workers[{index}]", address, f"must have a port of its own, listen.{owner} has it"
        if taken.setdefault(address, index) != index:
            yield f"listen.workers[{index}]", address, f"must be unique, listen.workers[{taken[address]}] has it"


def _one_source_of_models(settings: Settings) -> Iterator[Finding]:
    if settings.models and settings.models_file:
        yield "models_file", settings.models_file, "must be empty when models are given here"


def _no_fail_open_with_api_keys(settings: Settings) -> Iterator[Finding]:
    if settings.identity == "api_key" and settings.envoy.fail_open:
        yield "envoy.fail_open", True, "must be false with identity: api_key, or keys are unchecked and reach engines"


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


def _unique_models(models: tuple[ModelSettings, ...]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, model in enumerate(models):
        if first.setdefault(model.name, index) != index:
            yield f"models[{index}].name", model.name, f"must be unique, models[{first[model.name]}] has it"


def _unique_endpoints(models: tuple[ModelSettings, ...]) -> Iterator[Finding]:
    """Check that an address is listed once in a model, and has one name and one description in all models.

    Requests in flight are counted by the pod's name: a pod with two names would count as two, each with half the load.
    """
    pods: dict[str, EndpointSettings] = {}
    names: dict[str, str] = {}
    for index, model in enumerate(models):
        first: dict[str, int] = {}
        for position, endpoint in enumerate(model.endpoints):
            key = f"models[{index}].endpoints[{position}]"
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
