"""Identifies the sender of a request: by the `user` header, by an API key, or by the setting `anonymous`.

Lives here: reading the headers and refusing.  Not here: what users may do (ratelimit), where keys are kept (keyring).
"""

from collections.abc import Awaitable, Mapping
from typing import Protocol

from gateway.config.settings import Settings
from gateway.openai.errors import InvalidKeyError, LimiterAwayError, RefusalError, UnknownUserError
from ratelimit.accounts.names import may_be_named
from ratelimit.accounts.sender import Sender
from ratelimit.limits import LimiterUnavailableError

KEY_HEADERS = ("authorization", "x-api-key", "api-key")
"""The headers that an API key may come in: OpenAI's as `Bearer KEY`, Anthropic's and Azure's as it is."""
KEYS_AWAY_RETRY_S = 1.0
"""As for limits that cannot be checked: the client of Redis reconnects within a second."""


class Keys(Protocol):
    """The interface of a key ring: it finds the sender of an API key."""

    def remembered(self, key: str) -> Sender | None:
        """The user whose key it is, with its terms, where that can be told at once."""
        ...

    async def sender_of(self, key: str) -> Sender | None:
        """The same, None when it is no valid key.  Raises LimiterUnavailableError."""
        ...


class Identity:
    """Reads users off headers as `identity` and `anonymous` say."""

    def __init__(self, settings: Settings, keys: Keys) -> None:
        self._keys = keys if settings.identity == "api_key" else None
        self._anonymous = settings.anonymous_requests

    @property
    def withheld(self) -> tuple[str, ...]:
        """The request headers that engines must not see: a key is a secret, and its sender wrote `user` as he liked."""
        return (*KEY_HEADERS, "user") if self._keys is not None else ()

    def claim(self, headers: Mapping[str, str]) -> Sender | Awaitable[Sender] | None:
        """Return the sender, or what to await for it where a key was not seen before; None = nobody, without limits.

        Raises InvalidKeyError and UnknownUserError; awaiting raises InvalidKeyError, and LimiterAwayError while Redis
        is away.
        """
        given = headers.get("user") if self._keys is None else _given_key(headers)
        if given:
            if self._keys is not None:
                return self._keys.remembered(given) or _holder(self._keys, given)
            if not may_be_named(given):  # Redis need not be asked
                raise UnknownUserError("user must have a name that users can have")
            return Sender(given)
        if self._anonymous == "deny":
            raise self.missing()
        return None if self._anonymous == "allow" else Sender(self._anonymous)

    async def sender(self, headers: Mapping[str, str]) -> Sender | None:
        """Return the sender.  Raises as `claim` does, and as awaiting that does."""
        claim = self.claim(headers)
        return claim if claim is None or isinstance(claim, Sender) else await claim

    async def known(self, headers: Mapping[str, str]) -> Sender | None:
        """The sender, where that can be told; never raises."""
        try:
            return await self.sender(headers)
        except RefusalError:
            return None

    def missing(self) -> RefusalError:
        """The refusal of a request that names nobody."""
        if self._keys is None:
            return UnknownUserError("user header is missing, must name a user")
        return _invalid("API key is missing, must be sent as authorization: Bearer KEY, or as x-api-key: KEY")


def _given_key(headers: Mapping[str, str]) -> str:
    """Return the API key; empty = there is none, as in a `Bearer` with nothing behind it.

    Raises InvalidKeyError for keys that differ, and for another scheme if no header has a key.
    """
    given = headers.get("authorization", "").strip()
    scheme, _, bearer = given.partition(" ")
    is_bearer = scheme.lower() == "bearer"
    keys = {bearer.strip() if is_bearer else "", *(headers.get(name, "").strip() for name in KEY_HEADERS[1:])} - {""}
    if len(keys) > 1:
        raise _invalid("API key is sent in several headers, must be the same in all")
    if keys:
        return keys.pop()
    if given and not is_bearer:
        raise _invalid("API key is not valid")
    return ""


async def _holder(keys: Keys, key: str) -> Sender:
    try:
        sender = await keys.sender_of(key)
    except LimiterUnavailableError as error:
        raise LimiterAwayError("API keys cannot be checked now", retry_after_s=KEYS_AWAY_RETRY_S) from error
    if sender is None:
        raise _invalid("API key is not valid")
    return sender


def _invalid(message: str) -> InvalidKeyError:
    error = InvalidKeyError(message)
    error.headers = {"www-authenticate": "Bearer"}  # RFC 9110 section 15.5.2
    return error
