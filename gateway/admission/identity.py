"""Identifies the user of a request: by the `user` header, by an API key, or by the setting `anonymous`.

Lives here: reading the headers and refusing.  Not here: what users may do (ratelimit), where keys are kept (keyring).
"""

from collections.abc import Mapping
from typing import Protocol

from gateway.config.settings import Settings
from gateway.openai.errors import InvalidKeyError, LimiterAwayError, RefusalError, UnknownUserError
from ratelimit.limits import LimiterUnavailableError

KEYS_AWAY_RETRY_S = 1.0
"""As for limits that cannot be checked: the client of Redis reconnects within a second."""


class Keys(Protocol):
    """The interface of a key ring: it finds the user of an API key."""

    async def user_of(self, key: str) -> str | None:
        """The user whose key it is, None when it is nobody's.  Raises LimiterUnavailableError."""
        ...


class Identity:
    """Reads users off headers as `identity` and `anonymous` say."""

    def __init__(self, settings: Settings, keys: Keys) -> None:
        self._keys = keys if settings.identity == "api_key" else None
        self._anonymous = settings.anonymous

    @property
    def withheld(self) -> tuple[str, ...]:
        """The request headers that engines must not see: a key is a secret, and its sender wrote `user` as he liked."""
        return ("authorization", "user") if self._keys is not None else ()

    async def user(self, headers: Mapping[str, str]) -> str | None:
        """None = nobody in particular, without limits.

        Raises InvalidKeyError, UnknownUserError, LimiterAwayError (a key not seen before, and Redis is away).
        """
        user = headers.get("user") if self._keys is None else await self._holder(self._keys, headers)
        if user:
            return user
        if self._anonymous == "deny":
            raise self.missing()
        return None if self._anonymous == "allow" else self._anonymous

    async def known(self, headers: Mapping[str, str]) -> str | None:
        """The user, where that can be told; never raises."""
        try:
            return await self.user(headers)
        except RefusalError:
            return None

    def missing(self) -> RefusalError:
        """The refusal of a request that names nobody."""
        if self._keys is None:
            return UnknownUserError("user header is missing, must name a user")
        return _invalid("API key is missing, must be sent as authorization: Bearer KEY")

    async def _holder(self, keys: Keys, headers: Mapping[str, str]) -> str | None:
        given = headers.get("authorization")
        if not given:
            return None
        scheme, _, key = given.partition(" ")
        try:
            user = await keys.user_of(key.strip()) if scheme.lower() == "bearer" else None
        except LimiterUnavailableError as error:
            raise LimiterAwayError("API keys cannot be checked now", retry_after_s=KEYS_AWAY_RETRY_S) from error
        if user is None:
            raise _invalid("API key is not valid")
        return user


def _invalid(message: str) -> InvalidKeyError:
    error = InvalidKeyError(message)
    error.headers = {"www-authenticate": "Bearer"}  # RFC 9110 section 15.5.2
    return error
