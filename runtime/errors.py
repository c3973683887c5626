"""The one error of the runtime: why a call was not done, with the status that says so.

Lives here: the value and its body.  Not here: where it is raised (engines, adapters, models), turning it into an answer
(runtime.app).
"""

from http import HTTPStatus


class Problem(Exception):
    """A call that was not done; `message` is for people, and has an engine's own words where it refused.

    `status` is the HTTP status of the answer, `kind` the error's type, `param` the field that is to blame.
    """

    def __init__(self, status: int, message: str, kind: str = "", param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind or HTTPStatus(status).phrase.replace(" ", "") + "Error"
        self.param = param

    def body(self) -> dict[str, object]:
        """Return the body of the answer, in the shape that AIBrix's runtime has."""
        return {
            "object": "error", "message": self.message, "type": self.kind, "param": self.param, "code": self.status,
        }  # fmt: skip


def not_offered(what: str) -> Problem:
    """Return the problem of a call for which the engine, as it was started, has nothing."""
    return Problem(HTTPStatus.NOT_IMPLEMENTED, what)
