"""The names of the limiter's keys in Redis.

Lives here: names only.  Not here: what is stored under them (lua/, accounts).

Every level has a record, and a prefix for what it has used.  A user's keys have the key of the user's record as their
hash tag, those of a group the key of the group's record, so all keys of a level are in one slot of a Redis Cluster; an
API key's are in its user's slot.  Names with braces are the exception, because Redis reads another tag in them; without
a cluster they work.
"""

from functools import lru_cache

from ratelimit.limits import Holder
from ratelimit.periods import period_name

USER_KEY_PREFIX = "aibrix-users/"
"""The prefix of the keys of user records (docs/contracts.md section 2)."""

GROUP_KEY_PREFIX = "forebay:groups/"
"""The prefix of the keys of group records."""

REPLICAS_KEY = "forebay:replicas"
"""A sorted set of the replicas by the time of their last heartbeat."""

REMEMBERED = 8192
"""How many users' key names are cached (chosen: 2 MB)."""


@lru_cache(maxsize=REMEMBERED)
def user_key(name: str) -> str:
    """Return the key of a user's record."""
    return USER_KEY_PREFIX + name


def group_key(name: str) -> str:
    """Return the key of a group's record."""
    return GROUP_KEY_PREFIX + name


def api_key_key(user: str, key_id: str) -> str:
    """Return the key of the record of an API key's limits, which begins the names of what it has used too."""
    return f"{user_prefix(user)}:key:{key_id}"


def user_prefix(name: str) -> str:
    """Return the beginning of the keys of what a user has used."""
    return f"forebay:{{{USER_KEY_PREFIX}{name}}}"


def prefix_of(holder: Holder) -> str:
    """Return the beginning of the keys of what a level has used."""
    user, *rest = holder
    if not rest:
        return user_prefix(user)
    return api_key_key(user, rest[0]) if user else group_prefix(rest[0])


def group_prefix(name: str) -> str:
    """Return the beginning of the keys of what a group has used."""
    return f"forebay:{{{GROUP_KEY_PREFIX}{name}}}"


@lru_cache(maxsize=REMEMBERED)
def window_key(name: str, model: str = "") -> str:
    """Return the key of the user's window, or of the one for a model."""
    key = f"{user_prefix(name)}:window"
    return f"{key}:model:{model}" if model else key


def model_key(model: str) -> str:
    """Return the key of the window of a model's requests per second."""
    return f"forebay:{{model/{model}}}:window"


def period_keys(prefix: str, slot: int) -> tuple[str, str]:
    """Return the keys of a level's use in the day and in the month of a slot."""
    return f"{prefix}:budget:{period_name('day', slot)}", f"{prefix}:budget:{period_name('month', slot)}"
