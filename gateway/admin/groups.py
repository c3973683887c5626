"""The admin calls about groups of users, whose limits their users share.

Lives here: their answers, and the protocol of the store.  Not here: the store (ratelimit.accounts.groups).
"""

from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Path
from pydantic import AfterValidator, BaseModel
from starlette.responses import Response

from gateway.admin.bodies import MAX_PAGE, JsonRoute, PageSize, PolicyBody
from gateway.admin.problems import REFUSALS, missing
from gateway.openai.answers import usage_record
from ratelimit.accounts.groups import Group
from ratelimit.accounts.names import checked_name
from ratelimit.limits import Limiter

GroupName = Annotated[str, Path(), AfterValidator(checked_name)]


class Groups(Protocol):
    """The store of groups; `ratelimit.accounts.groups` implements it on Redis.

    Every method may raise the store's unavailability error.
    """

    async def put(self, group: Group) -> None:
        """Store the group, in place of one of that name."""
        ...

    async def get(self, name: str) -> Group | None:
        """Return the stored group, or None when there is none."""
        ...

    async def delete(self, name: str) -> Group | None:
        """Delete the group and return it, or None when there is none."""
        ...

    async def list(self, after: str = "", limit: int | None = None) -> list[Group]:
        """Return the first `limit` stored groups after the name `after`, by name."""
        ...


class GroupRecord(PolicyBody):
    """A group and its limits."""

    name: str


class GroupAnswer(BaseModel):
    """The answer to a call about one group: a message, and the group as stored, or as it was before it was deleted."""

    message: str
    group: GroupRecord


class GroupList(BaseModel):
    """Groups, sorted by name."""

    groups: list[GroupRecord]
    next: str = ""
    """The `after` of the next page; there is none when it is absent."""


def group_calls(groups: Groups, limiter: Limiter) -> APIRouter:
    """Make the calls that store, read, delete and list groups."""
    router = APIRouter(route_class=JsonRoute, responses=REFUSALS)

    @router.put("/groups/{name}", response_model=GroupAnswer, response_model_exclude_unset=True)
    async def put_group(name: GroupName, body: PolicyBody) -> GroupAnswer:
        """Store a group: all its limits are replaced.  The next request of its users obeys them."""
        group = Group(name, body.policy())
        await groups.put(group)
        return _answer("Stored Group", group)

    @router.get("/groups", response_model=GroupList, response_model_exclude_unset=True)
    async def list_groups(limit: PageSize = MAX_PAGE, after: str = "") -> GroupList:
        """List groups by name, `limit` at a time: the first after the name `after`."""
        found = await groups.list(after, limit + 1)
        page = [_record(group) for group in found[:limit]]
        return GroupList(groups=page, next=found[limit - 1].name) if len(found) > limit else GroupList(groups=page)

    @router.get("/groups/{name}", response_model=GroupAnswer, response_model_exclude_unset=True)
    async def read_group(name: str) -> GroupAnswer | Response:
        """Read a group."""
        group = await groups.get(name)
        return missing("Group", name) if group is None else _answer("Group", group)

    @router.delete("/groups/{name}", response_model=GroupAnswer, response_model_exclude_unset=True)
    async def delete_group(name: str) -> GroupAnswer | Response:
        """Delete a group; it limits nobody then."""
        group = await groups.delete(name)
        return missing("Group", name) if group is None else _answer("Deleted Group", group)

    @router.get("/groups/{name}/usage")
    async def group_usage(name: str) -> Any:
        """Read what a group's users have used together in the last 60 seconds, and of the group's budgets."""
        usage = await limiter.group_usage(name)
        return missing("Group", name) if usage is None else usage_record(usage)

    return router


def _record(group: Group) -> GroupRecord:
    record: GroupRecord = GroupRecord.model_construct(name=group.name, **PolicyBody.fields_of(group.policy))
    return record


def _answer(done: str, group: Group) -> GroupAnswer:
    return GroupAnswer(message=f"{done}: {group.name}", group=_record(group))
