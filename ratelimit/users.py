"""Users and their limits as stored in Redis: `aibrix-users/<name>`, JSON, no expiry (contracts section 2).

Lives here: reading and writing records that other tools share.  Not here: use of the limits (redis_limiter), HTTP.
The window of a deleted user stays until it is empty: deleting and creating again forgives nothing.
"""

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import batched
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from ratelimit.limits import MalformedUserError, User
from ratelimit.redis_limiter import MAX_TOKENS, USER_KEY_PREFIX, user_key
