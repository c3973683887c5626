"""The most tokens that a request may generate, set in its body where limits leave less than it asks for.

Lives here: the fields that say it, and the change of the body.  Not here: how much is left (ratelimit), finding a
member of JSON (members).
"""

from typing import NamedTuple

from gateway.openai.errors import BadRequestError
from gateway.openai.members import MemberNotFoundError, insert_member, is_escaped, replace_member

MAX_TOKENS = "x-forebay-max-tokens"
"""The response header that tells the client which maximum was set."""


class OutputLimit(NamedTuple):
    """A maximum of each answer, and the body's members that have to say it."""

    tokens: int
    inside: str  # the member that holds the fields; empty = the body itself
    fields: tuple[str, ...]  # those that the body has, or the one to add
    is_new: bool  # the body has none of them


def with_output_limit(body: bytes, limit: OutputLimit) -> bytes:
    """Return the body with the maximum in each of the fields, and nothing else changed.

    Raises BadRequestError for a body in which a field cannot be found, or whose key is written with escapes: the engine
    would read that one, and generate more than was granted.
    """
    for field in limit.fields:
        if is_escaped(body, field) or (limit.inside and is_escaped(body, limit.inside)):
            raise BadRequestError(f"{field} cannot be limited: its key must be written without escapes", param=field)
        if limit.is_new and not limit.inside:
            body = insert_member(body, field, str(limit.tokens))
            continue
        path = (limit.inside, field) if limit.inside else (field,)
        try:
            body = replace_member(body, path, str(limit.tokens))
        except MemberNotFoundError as error:
            raise BadRequestError(f"{field} cannot be limited: {error}", param=field) from error
    return body
