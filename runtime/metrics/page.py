"""The page for Prometheus: the engine's own page as it is, copies under standard names, and the runtime's own families.

Lives here: putting it together, and what it says while the engine is away: none of the engine's families, since old
figures would pass for new ones, and `aibrix:engine_up` and `aibrix:engine_scrape_age_seconds` instead.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import structlog
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from runtime.engines.engine import Engine
from runtime.errors import Problem
from runtime.metrics.api_calls import ApiCalls
from runtime.metrics.standard import copies
from runtime.settings import Settings

log = structlog.get_logger("runtime")


class MetricsPage:
    """Renders the page; `clock` returns seconds that never go back."""

    def __init__(
        self, engine: Engine, settings: Settings, calls: ApiCalls, version: str, clock: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._calls = calls
        self._info = {"version": version, "engine": settings.engine, "engine_version": settings.engine_version}
        self._clock = clock
        self._read_at_s: float | None = None
        self._why_away = ""

    async def render(self) -> bytes:
        """Ask the engine and return the page; it is one without the engine too."""
        page, families = await self._engines_page()
        made: list[Metric] = list(copies(self._settings.engine, families)) if self._settings.has_standard_names else []
        own = generate_latest(_Families([*made, *self._own(is_up=bool(page))]))
        return page.encode() + own

    async def _engines_page(self) -> tuple[str, list[Metric]]:
        """Return the engine's page, ending with its last line, and what it says; both empty while there is none."""
        try:
            page = await self._engine.metrics_page()
            families = list(text_string_to_metric_families(page))
        except (Problem, ValueError) as error:
            self._tell(str(error) or type(error).__name__)
            return "", []
        self._tell("")
        self._read_at_s = self._clock()
        lines = page.removesuffix("# EOF\n")  # of OpenMetrics, after which nothing may come
        return lines if lines.endswith("\n") else f"{lines}\n", families

    def _tell(self, why_away: str) -> None:
        """Log when the engine's page goes away, and when it comes back."""
        if bool(why_away) != bool(self._why_away):
            log.warning("engine_metrics_away", why=why_away) if why_away else log.info("engine_metrics_read")
        self._why_away = why_away

    def _own(self, *, is_up: bool) -> Iterator[Metric]:
        yield InfoMetricFamily("aibrix:info", "The runtime and its engine.", value=self._info)
        up = "Whether the engine's metrics could be read for this page."
        yield GaugeMetricFamily("aibrix:engine_up", up, value=is_up)
        if self._read_at_s is not None:
            age = "Seconds since the engine's metrics could be read."
            yield GaugeMetricFamily("aibrix:engine_scrape_age_seconds", age, value=self._clock() - self._read_at_s)
        yield from self._calls.collect()


class _Families(Collector):
    """A registry of families that are there already, which is all that generate_latest asks of one."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families: Sequence[Metric] = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families
