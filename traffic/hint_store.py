"""Hints in Redis: the key `aibrix:gpu_plan_{model}`, which expires (docs/contracts.md, section 6).

Lives here: publishing and reading.  Not here: the format (hint_json), what gateways make of a hint (routing.plans).
"""

from collections.abc import Collection

import structlog

from traffic import hint_json
from traffic.connection import Connection
from traffic.hint import Hint

log = structlog.get_logger("hints")

LIFE_S = 120
"""Seconds after which a hint is not followed any more (docs/contracts.md, section 6)."""


def key_of(model: str) -> str:
    """Return the key of a model's hint."""
    return f"aibrix:gpu_plan_{model}"


class HintStore:
    """The hints behind `connection`.  All methods may raise RedisAwayError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._read: dict[str, tuple[bytes, Hint]] = {}  # the last good text of each model, and what it says
        self._unreadable: set[str] = set()

    async def publish(self, model: str, hint: Hint) -> None:
        """Replace the hint of a model.  Raises ValueError for one that no gateway could read."""
        text = hint_json.render(hint)
        async with self._connection.calls() as redis:
            await redis.set(key_of(model), text, ex=LIFE_S)

    async def read(self, models: Collection[str]) -> dict[str, Hint]:
        """Return the hints of these models, without those that cannot be read; what has not changed is the same object.

        A model whose hint becomes unreadable is logged once.
        """
        async with self._connection.calls() as redis, redis.pipeline(transaction=False) as pipe:
            for model in models:
                pipe.getrange(key_of(model), 0, hint_json.MAX_BYTES)  # a byte too many, of one that is too long
            texts = await pipe.execute(raise_on_error=False)
        hints = {
            model: hint
            for model, text in zip(models, texts, strict=True)
            if text and (hint := self._parsed(model, text)) is not None
        }
        self._read = {model: self._read[model] for model in hints}
        return hints

    def _parsed(self, model: str, text: bytes | Exception) -> Hint | None:
        known = self._read.get(model)
        if known is not None and known[0] == text:
            return known[1]
        try:
            if isinstance(text, Exception):  # the key holds no text
                raise ValueError(f"{key_of(model)}: {text}") from text
            hint = hint_json.parse(text)
        except ValueError as error:
            if model not in self._unreadable:
                self._unreadable.add(model)
                log.warning("hint_unreadable", model=model, why=str(error))
            return None
        self._unreadable.discard(model)
        self._read[model] = (text, hint)
        return hint
