"""What the admin interface needs of the store of users; ratelimit.accounts.users implements it on Redis."""

from typing import Protocol

from ratelimit.limits import User


class Users(Protocol):
    """Stored users.  Every method may raise the store's unavailability error; then nothing is known of its effect."""

    async def create(self, user: User) -> tuple[User, bool]:
        """Store the user unless the name is taken; return what is stored and whether it is new."""
        ...

    async def read(self, name: str) -> User | None:
        """The stored user, None when there is none."""
        ...

    async def update(self, user: User) -> User | None:
        """Replace the stored user; None when there is none."""
        ...

    async def delete(self, name: str) -> User | None:
        """Remove the user and return it; None when there was none."""
        ...

    async def list(self) -> list[User]:
        """Every stored user."""
        ...
