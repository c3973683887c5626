"""Observers over servers of the test, and the specifications and pods that they are asked about."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from autoscaling.spec import Source, SourceKind, Spec, StrategyName, Target
from controllers.podautoscaler.observing import Observer, ScaledPod
from controllers.podautoscaler.sources.observer import Sources
from controllers.podautoscaler.sources.pages import Pages
from tests.support.kubernetes.conversation import Exchange
from tests.support.kubernetes.script import talking
from tests.support.metrics_pages import MetricsPages
from tests.support.ports import free_address
from traffic.connection import Connection
from traffic.store import TraceStore

TARGET = Target("apps/v1", "Deployment", "d", "default")
NO_REDIS = "redis://127.0.0.1:1/0"


class Clock:
    """A clock that the test sets."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def observing(
    clock: Clock, exchanges: Iterable[Exchange] = (), redis_url: str = NO_REDIS
) -> AsyncIterator[Observer]:
    async with AsyncExitStack() as stack:
        client, _ = await stack.enter_async_context(talking(exchanges))
        pages = await stack.enter_async_context(Pages())
        connection = await stack.enter_async_context(aclosing(Connection(redis_url, 20.0)))
        yield Sources(client, pages, TraceStore(connection), clock)


def a_spec(*sources: Source, strategy: StrategyName = StrategyName.KPA) -> Spec:
    return Spec(TARGET, strategy, 0, 10, sources)


def a_pod(name: str, server: MetricsPages | None = None, *, is_ready: bool = True) -> ScaledPod:
    port = server.port if server else int(free_address().rpartition(":")[2])
    return ScaledPod(name, "127.0.0.1", is_ready, port=port)


def of_pods(metric: str, path: str = "/metrics", kind: SourceKind = SourceKind.POD) -> Source:
    return Source(kind, metric, 0.5, path=path)


def external(server: MetricsPages, metric: str, path: str = "/metrics") -> Source:
    return Source(SourceKind.EXTERNAL, metric, 1.0, endpoint=f"127.0.0.1:{server.port}", path=path)
