"""What each path of the data plane is, and by which method it is asked (contracts section 1).

Lives here: the table.  Not here: what the bodies hold (request, prompt) or who answers (gateway.admission).
"""

from enum import StrEnum

from gateway.openai.errors import MethodNotAllowedError, UnknownPathError

_SHOWN_PATH = 100
"""Characters of an unknown path that an error repeats; chosen to fit a line of a terminal."""


class Operation(StrEnum):
    """What a client may ask for; the value is its path."""

    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    EMBEDDINGS = "/v1/embeddings"
    RESPONSES = "/v1/responses"
    MESSAGES = "/v1/messages"  # Anthropic's
    RERANK = "/v1/rerank"
    SCORE = "/v1/score"
    CLASSIFY = "/v1/classify"
    TRANSCRIPTIONS = "/v1/audio/transcriptions"
    TRANSLATIONS = "/v1/audio/translations"
    IMAGES = "/v1/images/generations"
    MODELS = "/v1/models"  # answered by the gateway, has no body; so is the next
    USAGE = "/v1/usage"

    @property
    def method(self) -> str:
        """The only method the path has."""
        return "GET" if self in _ANSWERED_HERE else "POST"


_ANSWERED_HERE = frozenset({Operation.MODELS, Operation.USAGE})
_BY_PATH = {operation.value: operation for operation in Operation}


def resolve(method: str, path: str) -> Operation:
    """The operation of a request line; a query string is ignored, a trailing slash is another path.

    Raises UnknownPathError and MethodNotAllowedError.
    """
    bare = path.partition("?")[0]
    operation = _BY_PATH.get(bare)
    if operation is None:
        raise UnknownPathError(f"path = {bare[:_SHOWN_PATH]}, does not exist")
    if method != operation.method:
        raise MethodNotAllowedError(
            f"method = {method}, {bare} answers only {operation.method}", allow=operation.method
        )
    return operation
