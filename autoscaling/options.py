"""Options of strategies, which annotations and labels of a PodAutoscaler name; one table for reading and documents.

Lives here: names in every spelling, values and their rules.  Not here: from where options are taken (spec_reading),
defaults (the settings of each strategy), what they do (strategies).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import TYPE_CHECKING, TypeVar

from autoscaling.durations import duration_s
from autoscaling.spec import ASLEEP, StrategyName

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

HPA, KPA, APA, SLO = StrategyName.HPA, StrategyName.KPA, StrategyName.APA, StrategyName.SLO

PREFIXES: Mapping[str, StrategyName | None] = {
    "kpa.autoscaling.aibrix.ai/": KPA,
    "apa.autoscaling.aibrix.ai/": APA,
    "autoscaling.aibrix.ai/": None,
    "autoscaling.forebay.io/": None,
}
"""Prefix -> the strategy that it is for, None = every one; where two name one option, the earlier one counts."""

Settings = TypeVar("Settings", bound="DataclassInstance")


def number(text: str, least: float = 0.0, *, above: bool = False) -> float:
    """Return a finite number that is at least, or above, `least`.  Raises ValueError with the rule that it breaks."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value) or value < least or (above and value == least):
        raise ValueError(f"must be a number {'>' if above else '>='} {least:g}")
    return value


def _capacity(text: str) -> float:
    return number(text, -1.0)


def _rate(text: str) -> float:
    return number(text, 1.0, above=True)


def _share(text: str) -> float:
    value = number(text)
    if value >= 1:
        raise ValueError("must be a number >= 0 and < 1")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) < 2**31:
        raise ValueError("must be a whole number >= 1")
    return int(text)


def _few(text: str) -> int:
    if not text.isdecimal() or int(text) > MOST_ASLEEP:
        raise ValueError(f"must be a whole number from 0 to {MOST_ASLEEP}")
    return int(text)


def _window_s(text: str) -> float:
    value_s = duration_s(text)
    if not 1 <= value_s <= LONGEST_WINDOW_S:
        raise ValueError("must be a duration from 1s to 1h")
    return value_s


def _delay_s(text: str) -> float:
    value_s = duration_s(text)
    if value_s > LONGEST_DELAY_S:
        raise ValueError("must be a duration up to 24h")
    return value_s


def _promise_s(text: str) -> float:
    value_s = duration_s(text)
    if value_s <= 0:
        raise ValueError("must be a duration > 0s")
    return value_s


def _text(text: str) -> str:
    return text


LONGEST_WINDOW_S = 3600.0
"""Longest window of metrics in seconds, so that what is kept of the past is bounded (Knative's and AIBrix's limit)."""
MOST_ASLEEP = 1000
"""Most replicas that sleep (chosen)."""
LONGEST_DELAY_S = 86_400.0
"""Longest delay in seconds (chosen: a day)."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option."""

    name: str
    field: str
    """The field of a strategy's settings."""
    parse: Callable[[str], float | int | str]
    """Returns the value; raises ValueError with the rule that it breaks."""
    strategies: tuple[StrategyName, ...]
    """The strategies that it does something with; none = it is accepted and does nothing."""
    also: str = ""
    """Another name of it, in later versions of the original."""


OPTIONS = (
    Option("stable-window", "stable_window_s", _window_s, (KPA,)),
    Option("panic-window", "panic_window_s", _window_s, (KPA,)),
    Option("panic-threshold", "panic_threshold", _rate, (KPA,)),
    Option("target-burst-capacity", "target_burst_capacity", _capacity, (KPA,)),
    Option("activation-scale", "activation_scale", _count, (KPA, APA)),
    Option("scale-down-delay", "scale_down_delay_s", _delay_s, (KPA, APA, HPA), "scale-down-cooldown-window"),
    Option("scale-up-delay", "scale_up_delay_s", _delay_s, (APA, HPA), "scale-up-cooldown-window"),
    Option("window", "window_s", _window_s, (APA,)),
    Option("up-fluctuation-tolerance", "up_tolerance", number, (APA, HPA), "scale-up-tolerance"),
    Option("down-fluctuation-tolerance", "down_tolerance", _share, (APA, HPA), "scale-down-tolerance"),
    Option("max-scale-up-rate", "max_up_rate", _rate, (KPA, APA, HPA)),
    Option("max-scale-down-rate", "max_down_rate", _rate, (KPA, APA, HPA)),
    Option("slo-ttft", "slo_ttft_s", _promise_s, (SLO,)),
    Option("slo-itl", "slo_itl_s", _promise_s, (SLO,)),
    Option(ASLEEP, "", _few, (KPA, APA, SLO)),
    Option("scale-to-zero", "", _text, ()),
    Option("storm-service-mode", "", _text, ()),
)

BY_NAME: Mapping[str, Option] = {name: each for each in OPTIONS for name in (each.name, each.also) if name}
"""Every spelling -> its option."""


def settings(kind: type[Settings], options: Mapping[str, str]) -> Settings:
    """Return a strategy's settings: those options that it has fields for, defaults for the others.

    Raises ValueError where a value breaks its rule; what spec_reading let through breaks none.
    """
    known = {each.name for each in fields(kind)}
    given = {BY_NAME[name].field: BY_NAME[name].parse(text) for name, text in options.items()}
    return kind(**{field: value for field, value in given.items() if field in known})
