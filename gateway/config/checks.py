"""What must hold between keys: each check reads settings whose values are sound by themselves."""

from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches

from gateway.config.addresses import is_loopback, split_address
from gateway.config.problems import Problems
from gateway.config.settings import EndpointSettings, ListenSettings, ModelSettings, Settings
from gateway.config.validation import shown
from routing.mixture import parse_mixture

Finding = tuple[str, object, str]
"""Key, value, rule."""


def check(settings: Settings, strategies: Collection[str], problems: Problems) -> None:
    """Add what does not fit together; a check is skipped when a section that it reads is already in question."""
    checks: tuple[tuple[tuple[str, ...], Callable[[], Iterator[Finding]]], ...] = (
        (("listen", "admin_token"), lambda: _admin_is_guarded(settings)),
        (("listen",), lambda: _ports_of_their_own(settings.listen)),
        (("models", "models_file"), lambda: _one_source_of_models(settings)),
        (("envoy", "identity"), lambda: _keys_are_always_checked(settings)),
        (("envoy", "response_mode"), lambda: _exchange_lives_with_its_answer(settings)),
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


def _ports_of_their_own(listen: ListenSettings) -> Iterator[Finding]:
    """A worker knows by the port what was asked: administration must not answer on another's address."""
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


def _keys_are_always_checked(settings: Settings) -> Iterator[Finding]:
    if settings.identity == "api_key" and settings.envoy.fail_open:
        yield "envoy.fail_open", True, "must be false with identity: api_key, or keys are unchecked and reach engines"


def _exchange_lives_with_its_answer(settings: Settings) -> Iterator[Finding]:
    """Envoy 1.39 closes a full-duplex exchange once the request is sent on, unless it is to see the answer too."""
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
    """An address once per model; one name for a pod, one description wherever it stands.

    Pods are counted by name: one under two names would be counted as two, each with half of its requests.
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
            called = names.setdefault(endpoint.address, name)
            pod = pods.setdefault(name, endpoint)
            if pod.address != endpoint.address:
                yield f"{key}.name", name, f"must name one pod, it already names {pod.address}"
            elif called != name:
                yield f"{key}.name", name, f"must be {called}, as {endpoint.address} is already called"
            else:
                yield from _described_alike(key, pod, endpoint)


def _described_alike(key: str, pod: EndpointSettings, again: EndpointSettings) -> Iterator[Finding]:
    for field in sorted(EndpointSettings.model_fields.keys() - {"name", "address", "adapters"}):
        before, now = getattr(pod, field), getattr(again, field)
        if before != now:
            yield f"{key}.{field}", now, f"must be {shown(field, before)}, as {again.address} is already described"
