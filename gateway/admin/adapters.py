"""The calls of the admin REST for LoRA adapters: LoadAdapter, UnloadAdapter, GET /adapters.

Lives here: paths, bodies, messages.  Not here: what is done (gateway.adapters).
"""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from gateway.adapters.desk import AdapterError, Desk
from gateway.adapters.placing import Adapter
from gateway.adapters.records import Wanted
from gateway.admin.bodies import JsonRoute
from gateway.admin.problems import REFUSALS
from gateway.observability.http import problem
from routing.placement import DEFAULT, Policy, policy_of


def _known_policy(name: str) -> str:
    if policy_of(name) is None:
        message = f"must be {DEFAULT}, {', '.join(Policy)}"
        raise ValueError(message)
    return name


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    """The adapter's name, which is a model's name while it is loaded."""


class LoadBody(_Body):
    """An adapter to load."""

    model: Annotated[str, Field(min_length=1)]
    """Its base model."""
    path: Annotated[str, Field(min_length=1)]
    """The path of its files, where the engines read it; or whatever else they take."""
    replicas: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Pods that should have it; all where there are fewer."""
    policy: Annotated[str, AfterValidator(_known_policy)] = DEFAULT
    """How pods are chosen; `leastAdapters` by default."""


class AdapterAnswer(BaseModel):
    """The answer to a change: a message, and the adapter with its pods, or as it was before it was unloaded."""

    message: str
    adapter: dict[str, Any]


def adapter_calls(desk: Desk) -> APIRouter:
    """Make the three calls."""
    router = APIRouter(route_class=JsonRoute, responses={**REFUSALS, 409: REFUSALS[400], 502: REFUSALS[400]})

    @router.post("/LoadAdapter")
    async def load_adapter(body: LoadBody) -> AdapterAnswer:
        """Load an adapter where it fits, and again whenever an engine lost it; requests for it are served then."""
        loaded = await desk.load(Wanted(body.name, body.model, body.path, body.replicas, body.policy))
        return AdapterAnswer(message=f"Loaded Adapter: {body.name}", adapter=_shown(loaded))

    @router.post("/UnloadAdapter")
    async def unload_adapter(body: _Body) -> AdapterAnswer:
        """Unload an adapter everywhere."""
        return AdapterAnswer(message=f"Unloaded Adapter: {body.name}", adapter=_shown(await desk.unload(body.name)))

    @router.get("/adapters")
    async def list_adapters() -> dict[str, Any]:
        """List the adapters that engines list or that are to be loaded, with the pods that have them."""
        return {"adapters": [_shown(one) for one in await desk.adapters()]}

    return router


def _shown(adapter: Adapter) -> dict[str, Any]:
    return {"name": adapter.name, "model": adapter.model, "pods": list(adapter.pods)}


async def on_adapter_error(_request: Request, error: AdapterError) -> Response:
    """Answer a call about adapters that was not done."""
    return problem(error.status, error.message, error.code, param=error.param)
