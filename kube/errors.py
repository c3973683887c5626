"""The failures of a Kubernetes API call, one class per thing that a caller does about it.

Lives here: the tree of errors and its reading from an answer, without I/O.  Not here: the calls (client).  Kubernetes
API conventions, section "Response Status Kind".
"""

from collections.abc import Mapping

import msgspec


class NoWayError(Exception):
    """It cannot be read how to reach an API server: a wrong kubeconfig, or none and no service account."""


class ApiError(Exception):
    """The API server refused a call, or did not answer it.

    `status` is that of HTTP, 0 where no answer came; `reason` is Kubernetes' word, as in "AlreadyExists".
    """

    def __init__(
        self,
        message: str,
        status: int = 0,
        reason: str = "",
        causes: tuple["Cause", ...] = (),
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.causes = causes
        self.retry_after_s = retry_after_s


class Unreachable(ApiError):
    """No answer came, or it broke off: the server is away or the connection is."""


class NotFound(ApiError):
    """There is no such object, or no such kind: its CRD is not installed."""


class AlreadyExists(ApiError):
    """An object of that name exists, so that none was created."""


class Conflict(ApiError):
    """The object changed since it was read, has another uid, or others own what was applied (`owned_by_others`)."""

    @property
    def owned_by_others(self) -> Mapping[str, str]:
        """Return who owns which field that a server-side apply would have changed; empty for other conflicts."""
        return {cause.field: cause.message for cause in self.causes if cause.reason == "FieldManagerConflict"}


class Expired(ApiError):
    """The resource version, or the rest of a list, is known to the server no more: list again."""


class Forbidden(ApiError):
    """The account lacks the permission, or admission refuses: 401 and 403."""


class Cause(msgspec.Struct, frozen=True):
    """One of several causes, and the field that it is about."""

    reason: str = ""
    message: str = ""
    field: str = ""


class _Details(msgspec.Struct, frozen=True):
    causes: tuple[Cause, ...] | None = None
    retryAfterSeconds: float | None = None


class _Status(msgspec.Struct, frozen=True):
    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


_BY_STATUS: dict[int, type[ApiError]] = {401: Forbidden, 403: Forbidden, 404: NotFound, 409: Conflict, 410: Expired}
_TOO_LARGE = "ResourceVersionTooLarge"
"""The reason of a cause of 504: the server has seen less than the version asked for, as after the restore of a backup
of etcd.  Waiting for it may never end; a list tells what is."""
LONGEST_WAIT_S = 60.0
"""The longest wait that is believed; a proxy may say a day, for which nothing would follow the server."""


def from_answer(status: int, body: bytes, retry_after: str = "") -> ApiError:
    """Return the error that an answer of 400 or above, or the object of an ERROR event, is.

    `body` is a Status in JSON, or anything, as where a proxy answered; `retry_after` is the header, in seconds.
    """
    try:
        said = msgspec.json.decode(body, type=_Status)
    except msgspec.MsgspecError:
        said = _Status(message=body[:200].decode(errors="replace"))
    details = said.details or _Details()
    status, causes = status or said.code, details.causes or ()
    wait_s = details.retryAfterSeconds or (float(retry_after) if retry_after.isdecimal() else 0.0)
    kind = _kind(status, said.reason, causes)
    message = said.message or f"HTTP status {status}"
    return kind(message, status, said.reason, causes, min(wait_s, LONGEST_WAIT_S))


def _kind(status: int, reason: str, causes: tuple[Cause, ...]) -> type[ApiError]:
    if reason == "AlreadyExists":
        return AlreadyExists
    if any(cause.reason == _TOO_LARGE for cause in causes):
        return Expired
    return _BY_STATUS.get(status, ApiError)
