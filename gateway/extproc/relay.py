"""A request on its way from our Envoy to an API in the cloud, and the answer on its way back: the model's name changes.

Lives here: what passes Envoy's listener for an API (gateway.envoy.apis).  Not here: the request's admission, which came
before (exchange), finding names in bodies (gateway.openai.rewrites).
Pure, as the exchange is.  It keeps nothing of the request but the name that its client asked for.
"""

from collections.abc import Mapping

from gateway.envoy.names import UNREACHED
from gateway.extproc.commands import CONTINUE, BodyReply, Command, HeadersReply, ImmediateReply, Mutation, Side
from gateway.extproc.events import Event, RequestBody, RequestHeaders, ResponseBody, ResponseHeaders
from gateway.openai.errors import AnswerOfNoApiError, RefusalError, error_body, error_headers
from gateway.openai.operations import Operation, find_operation
from gateway.openai.request import parse_request
from gateway.openai.rewrites import AnswerModel, EventModels, with_model


class Relay:
    """Call `step` with events in order, and perform the commands that it returns.  `models`: the API's own names."""

    def __init__(self, models: Mapping[str, str]) -> None:
        self._models = models
        self._operation: Operation | None = None
        self._content_type = ""
        self._asked_model = ""  # where the API knows it by another name
        self._answer: EventModels | AnswerModel | None = None

    def step(self, event: Event) -> list[Command]:
        """Advance by one event."""
        if isinstance(event, ResponseBody):
            return [self._answer_body(event)]
        if isinstance(event, RequestHeaders):
            return self._open(event)
        if isinstance(event, RequestBody):
            return [self._request_body(event.data)]
        if isinstance(event, ResponseHeaders):
            return [self._answer_headers(event)]
        return []

    def _open(self, event: RequestHeaders) -> list[Command]:
        headers = event.headers
        self._content_type = headers.get("content-type", "")
        try:
            self._operation = find_operation(headers.get(":method", ""), headers.get(":path", ""))
        except RefusalError:
            self._operation = None  # admission has let it pass, so the API may judge it
        return [CONTINUE]

    def _request_body(self, body: bytes) -> Command:
        try:
            renamed = self._renamed(body)
        except RefusalError:  # admission has read the same body
            renamed = None
        if renamed is None:
            return BodyReply(Side.REQUEST)
        return BodyReply(Side.REQUEST, Mutation({"content-length": str(len(renamed))}), renamed)

    def _renamed(self, body: bytes) -> bytes | None:
        operation = self._operation
        if operation is None or operation.body is None or operation.body.is_stored:
            return None
        model = parse_request(operation, self._content_type, body).model
        name = self._models.get(model, model)
        if name == model:
            return None
        self._asked_model = model
        return with_model(operation, self._content_type, body, name)

    def _answer_headers(self, event: ResponseHeaders) -> Command:
        content_type = event.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type == "text/html":  # a page for people, of a proxy before the API or of another service
            return _not_an_api(event.headers.get(":status", ""))
        if not self._asked_model:
            return HeadersReply(Side.RESPONSE)
        if content_type == "text/event-stream":
            self._answer = EventModels(self._asked_model)
        elif content_type.endswith("json"):
            self._answer = AnswerModel(self._asked_model)
        return HeadersReply(Side.RESPONSE, Mutation(remove_headers=("content-length",)))

    def _answer_body(self, event: ResponseBody) -> Command:
        if self._answer is None:
            return BodyReply(Side.RESPONSE)
        data = self._answer.feed(event.data) + (self._answer.finish() if event.end_of_stream else b"")
        return BodyReply(Side.RESPONSE, body=None if data == event.data else data)


def _not_an_api(status: str) -> ImmediateReply:
    """Return the reply in place of such an answer, by which Envoy asks the next endpoint."""
    error = AnswerOfNoApiError(f"the API of the model's pool answered {status} with a web page")
    return ImmediateReply(error.status, {**dict(error_headers(error)), UNREACHED: "true"}, error_body(error))
