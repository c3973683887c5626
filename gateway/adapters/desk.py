"""The calls of the admin REST about adapters: they ask in the records, and wait until adapters are there, or gone.

Lives here: what may be asked for, and when a call is done.  Not here: bodies (gateway.admin.adapters), who loads
(keeper).
"""

import asyncio
from collections.abc import Callable, Iterable
from http import HTTPStatus
from secrets import token_hex

from gateway.adapters.engines import LIMIT_S, Engines
from gateway.adapters.keeper import Keeper
from gateway.adapters.placing import Adapter, Pods
from gateway.adapters.records import Records, State, Wanted
from gateway.fleet.pod import Pod, PodState
from routing.types import PodId

ASK_S = 0.05
"""Seconds between two looks at what came of a call (chosen)."""
GRACE_S = 15.0
"""Seconds beyond an engine's own time: another replica may have to take the lead first (chosen)."""


class AdapterError(Exception):
    """A call that was not done; `status` and `code` are those of its answer, `param` the field that is to blame."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param


class Desk:
    """The adapters of a fleet; `pods` returns all of it.  All methods may raise RedisAwayError."""

    def __init__(self, records: Records, keeper: Keeper, engines: Engines, pods: Callable[[], Iterable[Pod]]) -> None:
        self._records, self._keeper, self._engines, self._pods = records, keeper, engines, pods

    async def adapters(self) -> list[Adapter]:
        """Return all adapters that engines list or that were asked for, by name."""
        return Pods(self._pods()).adapters(await self._records.all_wanted())

    async def load(self, one: Wanted) -> Adapter:
        """Have an adapter loaded on so many pods of its model, all where there are fewer, now and whenever one lost it.

        Returns when requests for it are served here.  Raises AdapterError: 404 for a model that no pod serves, 409 for
        a name that is a model's or another adapter's, 503 while no pod is ready, 502 with the words of engines that
        refuse; then everything is as before.
        """
        before = await self._records.wanted(one.name)
        self._check(one, before)
        asked = Wanted(one.name, one.model, one.path, one.replicas, one.policy, token_hex(8))
        await self._records.want(asked)
        self._keeper.hurry()
        pods: tuple[PodId, ...] = ()
        try:
            pods = await self._placed(asked)
        finally:
            if not pods:
                await self._take_back(asked, before)
        names = [pod.endpoint.name for pod in self._pods() if pod.endpoint.id in pods]
        return Adapter(one.name, one.model, tuple(sorted(names)))

    async def unload(self, name: str) -> Adapter:
        """Unload an adapter everywhere and return where it was.  Raises AdapterError: 404, or 502 as for a load."""
        found = next((one for one in await self.adapters() if one.name == name), None)
        if found is None:
            raise AdapterError(HTTPStatus.NOT_FOUND, f"Adapter: {name} does not exist", "adapter_not_found", "name")
        await self._forget(name, await self._records.state(name))
        return found

    async def _placed(self, asked: Wanted) -> tuple[PodId, ...]:
        """Return the pods of an adapter once they list it."""
        try:
            async with asyncio.timeout(LIMIT_S + GRACE_S):
                while True:
                    state = await self._records.state(asked.name)
                    if state is not None and state.id == asked.id:
                        if state.failures:
                            words = "; ".join(failure.message for failure in state.failures)
                            raise AdapterError(HTTPStatus.BAD_GATEWAY, words, "engine_refused")
                        if state.pods and set(state.pods) <= set(Pods(self._pods()).having(asked.name)):
                            return state.pods
                    await asyncio.sleep(ASK_S)
        except TimeoutError:
            message = f"not loaded in {LIMIT_S + GRACE_S:g} s"
            raise AdapterError(HTTPStatus.BAD_GATEWAY, message, "engine_refused") from None

    async def _take_back(self, asked: Wanted, before: Wanted | None) -> None:
        """Have everything as it was before a call that was not done, unless another one came after it."""
        if await self._records.wanted(asked.name) != asked:
            return
        if before is not None:
            await self._records.want(before)
            return
        await self._forget(asked.name, await self._records.state(asked.name))

    async def _forget(self, name: str, state: State | None) -> None:
        """Ask for an adapter no longer, and unload it from every engine that lists it or was asked to load it."""
        await self._records.forget(name)
        self._keeper.hurry()
        pods = Pods(self._pods())
        ids = {*pods.having(name), *(state.pods if state else ())} & pods.listing.keys()
        endpoints = [pods.listing[pod].endpoint for pod in sorted(ids)]
        said = await asyncio.gather(*(self._engines.unload(endpoint, name) for endpoint in endpoints))
        refusals = [f"{one.name}: {words}" for one, words in zip(endpoints, said, strict=True) if words]
        if refusals:
            raise AdapterError(HTTPStatus.BAD_GATEWAY, "; ".join(refusals), "engine_refused")
        await self._keeper.until_listed(ids, name, there=False)

    def _check(self, one: Wanted, before: Wanted | None) -> None:
        """Refuse what cannot be.  Raises AdapterError."""
        pods = Pods(self._pods())
        is_taken = one.name in pods.bases or any(
            adapter.name == one.name and adapter.model != one.model for adapter in pods.adapters({})
        )
        if is_taken or (before is not None and before.model != one.model):
            message = f"name = {one.name}, is taken by another model"
            raise AdapterError(HTTPStatus.CONFLICT, message, "name_taken", "name")
        if before is not None and before.path != one.path:
            message = f"path = {one.path}, but {one.name} is loaded from {before.path}: unload it first"
            raise AdapterError(HTTPStatus.CONFLICT, message, "name_taken", "path")
        own = pods.of_model(one.model)
        if not own:
            message = f"model = {one.model}, no pod with `adapters: auto` serves it"
            raise AdapterError(HTTPStatus.NOT_FOUND, message, "model_not_found", "model")
        if not any(pod.state is PodState.READY for pod in own):
            message = f"model {one.model} has no ready pod"
            raise AdapterError(HTTPStatus.SERVICE_UNAVAILABLE, message, "service_unavailable")
