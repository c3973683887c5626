"""Rewriting a request's model: another one is asked of the engine, and the answer names the one that the client asked.

Lives here: which model takes the place of which, the change of the body, and the changes back in the answer's events or
in its JSON.  Not here: finding a member of JSON (members) or a part of a form (form), where rules come from
(gateway.discovery).  Gateway API Inference Extension: InferenceModelRewrite, proposal 1816.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import orjson
from xxhash import xxh3_64_intdigest

from gateway.openai.errors import BadRequestError
from gateway.openai.form import replace_field
from gateway.openai.members import MemberNotFoundError, find_member, is_escaped, replace_member
from gateway.openai.operations import Operation
from gateway.openai.sse import EventSplitter, Piece, data_of
from routing.types import Rng

MODEL_REWRITE = "x-gateway-model-name-rewrite"
"""The request header that names the model to take the place of the body's."""
MAX_HELD_BYTES = 1 << 20
"""Bytes of a JSON answer that are held back at most while its model is looked for (chosen: it stands in the first
hundreds of bytes, but after the instructions in an answer of the Responses API)."""

_MENTION = b'"model"'


class Target(NamedTuple):
    """A model that takes the place of another one in `weight` of all cases."""

    model: str
    weight: int = 1


class Sticky(StrEnum):
    """The requests that get the same target."""

    SESSION = "session"  # or, where none is named, those of a user
    USER = "user"
    NONE = "none"


class Rewrite(NamedTuple):
    """One rule: requests for these models (none: for any) are spread over the targets by their weights."""

    models: tuple[str, ...]
    targets: tuple[Target, ...]
    sticky: Sticky = Sticky.NONE
    fallbacks: tuple[str, ...] = ()  # while the target is not served, the first of these that is


class Rewrites:
    """The rules in force.  `trusts_header`: requests may name a model in MODEL_REWRITE.

    `is_served` tells of a model whether a pod of it is ready.
    """

    def __init__(self, rng: Rng, *, trusts_header: bool, is_served: Callable[[str], bool] = bool) -> None:
        self._rng = rng
        self._trusts_header = trusts_header
        self._is_served = is_served
        self._exact: dict[str, Rewrite] = {}
        self._any: Rewrite | None = None

    def replace(self, rules: Sequence[Rewrite]) -> None:
        """Follow these rules from now on: of those that fit one that names the model, and of equals the first."""
        self._exact, self._any = {}, None
        for rule in rules:
            for model in rule.models:
                self._exact.setdefault(model, rule)
            if not rule.models:
                self._any = self._any or rule

    def target(self, model: str, headers: Mapping[str, str], user: str = "") -> str:
        """Return the model to ask for in place of the body's; empty = that one.  A rule decides before the header."""
        rule = self._exact.get(model, self._any)
        if rule is not None:
            target = self._of_rule(rule, model, headers, user)
        else:
            target = headers.get(MODEL_REWRITE, "") if self._trusts_header else ""
        return "" if target == model else target

    def _of_rule(self, rule: Rewrite, model: str, headers: Mapping[str, str], user: str) -> str:
        key = "" if rule.sticky is Sticky.NONE else user
        if rule.sticky is Sticky.SESSION:
            key = headers.get("x-session-id", "") or user
        target = self._drawn(rule.targets, f"{model} {key}" if key else "")
        if rule.fallbacks and not self._is_served(target):
            return next(filter(self._is_served, rule.fallbacks), target)
        return target

    def _drawn(self, targets: tuple[Target, ...], key: str) -> str:
        """Return a target by lot, or that of a key, which is the same everywhere and at any time."""
        if len(targets) == 1:
            return targets[0].model
        at = xxh3_64_intdigest(key.encode()) / 2**64 if key else self._rng.random()
        at *= sum([target.weight for target in targets])
        for target in targets:
            at -= target.weight
            if at < 0:
                return target.model
        return targets[-1].model


def with_model(operation: Operation, content_type: str, body: bytes, model: str) -> bytes:
    """Return the body, JSON or a form that names a model, with this model in its place and nothing else changed.

    Raises BadRequestError for a body in which it cannot be found (gateway.openai.members), and for JSON that writes the
    key with escapes: the engine would read that one, and serve another model than the one that was admitted.
    """
    if operation.body is not None and operation.body.is_form:
        return replace_field(content_type, body, "model", model)
    if is_escaped(body, "model"):
        raise BadRequestError("model cannot be rewritten: its key must be written without escapes", param="model")
    try:
        return replace_member(body, ("model",), orjson.dumps(model).decode())
    except MemberNotFoundError as error:
        raise BadRequestError(f"model cannot be rewritten: {error}", param="model") from error


class EventModels:
    """Names `model` in the events of a stream; complete events pass at once.

    Events of one stream begin alike, up to the model, so what was found in one is replaced in all that follow.
    """

    def __init__(self, model: str) -> None:
        self._model = orjson.dumps(model)
        self._runs = EventSplitter(())
        self._beginning = self._renamed_beginning = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return the events that this chunk completes."""
        return self._named(self._runs.feed(chunk))

    def finish(self) -> bytes:
        """Return what is left at the end of the stream."""
        return self._named(self._runs.finish())

    def _named(self, pieces: list[Piece]) -> bytes:
        return b"".join([
            self._named_run(piece.raw) if piece.complete and _MENTION in piece.raw else piece.raw for piece in pieces
        ])  # fmt: skip

    def _named_run(self, run: bytes) -> bytes:
        """Return complete events with their models renamed."""
        if self._beginning:
            lines = b"\n" + run
            if lines.count(_MENTION) == lines.count(self._beginning):
                return lines.replace(self._beginning, self._renamed_beginning)[1:]
        events = EventSplitter()
        return b"".join([
            self._named_event(raw) if _MENTION in raw else raw for raw, *_ in [*events.feed(run), *events.finish()]
        ])  # fmt: skip

    def _named_event(self, raw: bytes) -> bytes:
        """Return an event with the model in the outermost object renamed, or in one just inside.

        In `message_start` of Anthropic's, and in events of the Responses API, the answer is a member of the event.
        """
        data = data_of(raw) or b""
        at = raw.find(data) if _MENTION in data else -1
        found = (_model_in(data, 1) or _model_in(data, 2)) if at >= 0 else None
        if found is None:
            return raw
        start, end = at + found[0], at + found[1]
        line = raw.rfind(b"\n", 0, start) + 1
        self._beginning = b"\n" + raw[line:end]
        self._renamed_beginning = b"\n" + raw[line:start] + self._model
        return raw[:start] + self._model + raw[end:]


class AnswerModel:
    """Names `model` in a JSON answer, which is held back until its own is found, up to MAX_HELD_BYTES.

    It is looked for again when twice as much is held, so the work grows with the answer, not with its pieces.
    """

    def __init__(self, model: str) -> None:
        self._model = orjson.dumps(model)
        self._held = bytearray()
        self._next_look = 0  # when so many bytes are held
        self._is_done = False

    def feed(self, piece: bytes) -> bytes:
        """Return what can be passed on now."""
        if self._is_done:
            return piece
        self._held += piece
        size = len(self._held)
        if size <= min(self._next_look, MAX_HELD_BYTES):
            return b""
        self._next_look = 2 * size
        return self._taken(is_all=size > MAX_HELD_BYTES)

    def finish(self) -> bytes:
        """Return what was held back."""
        return b"" if self._is_done else self._taken(is_all=True)

    def _taken(self, *, is_all: bool) -> bytes:
        """Return what is held with its model renamed; if it has none, nothing unless this `is_all`."""
        held = bytes(self._held)
        renamed = _renamed(held, 1, self._model) if _MENTION in held else None
        if renamed is None and not is_all:
            return b""
        self._is_done = True
        self._held.clear()
        return held if renamed is None else renamed


def _renamed(body: bytes, depth: int, model: bytes) -> bytes | None:
    """Return JSON, or its beginning, with another model; None where none is found so deep inside."""
    found = _model_in(body, depth)
    return None if found is None else body[: found[0]] + model + body[found[1] :]


def _model_in(body: bytes, depth: int) -> tuple[int, int] | None:
    """Return where the model stands in JSON, or its beginning; None where none is found so deep inside."""
    try:
        found = find_member(body, "model", depth)
    except MemberNotFoundError:
        return None
    return found if found is not None and body.startswith(b'"', found[0]) else None
