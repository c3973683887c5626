"""The protocol of the store of users that the admin REST needs; ratelimit.accounts.users implements it on Redis."""

from typing import Protocol

from ratelimit.limits import User


class Users(Protocol):
    """The store of users.

    Every method may raise the store's unavailability error, and may have had its effect all the same.
    """

    async def create(self, user: User) -> tuple[User, bool]:
        """Store the user unless the name is taken; return the stored user and whether it is new."""
        ...

    async def read(self, name: str) -> User | None:
        """Return the stored user, or None when there is none."""
        ...

    async def update(self, user: User) -> User | None:
        """Replace the stored user and return the new one, or None when there is none."""
        ...

    async def delete(self, name: str) -> User | None:
        """Delete the user and return it, or None when there is none."""
        ...

    async def list(self, after: str = "", limit: int | None = None) -> list[User]:
        """Return the first `limit` stored users after the name `after`, by name; without a limit all."""
        ...
