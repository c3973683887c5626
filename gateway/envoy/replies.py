"""The replies that Envoy makes itself (413, 503, 504, ...), in the shape of every other error.

Lives here: code and message for each status.  Not here: the gateway's refusals (gateway.openai.errors), which pass the
same mappers and must not be changed by them.
"""

from gateway.config.settings import Settings
from gateway.envoy.messages import Json, extension
from gateway.envoy.names import REFUSAL_DETAILS
from gateway.openai.errors import FIRST_ERROR, FIRST_SERVER_ERROR, anthropic_error
from gateway.openai.operations import ANTHROPIC_TARGETS

UNAVAILABLE = 503
RETRY_S = 1
"""`retry-after` of 503, in seconds (chosen): Envoy has no pod for a moment, while one goes and another comes."""


def local_replies(settings: Settings) -> Json:
    """Return the mappers, of which the first that matches decides: the gateway's refusals, known statuses, the rest."""
    known = {
        404: ("not_found", "no such path"),
        408: ("request_timeout", "the request did not arrive in time"),
        413: ("request_too_large", f"the request body exceeds {settings.body_limit_bytes} bytes"),
        431: ("request_headers_too_large", "the request headers are too large"),
        503: ("service_unavailable", "the service is unavailable at the moment, try again later"),
        504: ("upstream_timeout", "the model did not answer in time"),
    }
    errors = [
        *(("EQ", status, code, message) for status, (code, message) in known.items()),
        ("GE", FIRST_SERVER_ERROR, "internal_error", "the request could not be served"),
        ("GE", FIRST_ERROR, "invalid_request", "the request is malformed"),  # Envoy answers GET / itself, with 200
    ]
    compat = settings.compat == "v0.2.1"
    mappers = [mapper for error in errors for mapper in (_anthropic(*error), _openai(*error, compat=compat))]
    return {"mappers": [_gateway_refusals(), *mappers]}


def _gateway_refusals() -> Json:
    """Return the mapper that leaves the gateway's refusals alone.

    Their response code details are empty or begin with REFUSAL_DETAILS; those of Envoy's own replies never are or do.
    """
    refused_by_gateway = extension(
        "envoy.access_loggers.extension_filters.cel",
        "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        expression=f"response.code_details == '' || response.code_details.startsWith('{REFUSAL_DETAILS}')",
    )
    return {"filter": {"extension_filter": refused_by_gateway}}


def _openai(comparison: str, status: int, code: str, message: str, *, compat: bool) -> Json:
    kind = "api_error" if status >= FIRST_SERVER_ERROR else "invalid_request_error"
    error: Json = {"message": message, "type": kind, "code": code, "param": None}
    if compat:
        error = {"code": "%RESPONSE_CODE%", "message": message}  # a lone operator of a number stays a number
    return _mapper(_by_status(comparison, status, code), {"error": error}, status)


def _anthropic(comparison: str, status: int, code: str, message: str) -> Json:
    """Return the mapper of the same error on Anthropic's paths."""
    path = {"name": ":path", "string_match": {"safe_regex": {"regex": ANTHROPIC_TARGETS}}}
    both = {"and_filter": {"filters": [_by_status(comparison, status, code), {"header_filter": {"header": path}}]}}
    return _mapper(both, anthropic_error(status, message, "%REQ(x-request-id)%"), status)


def _by_status(comparison: str, status: int, code: str) -> Json:
    value = {"default_value": status, "runtime_key": f"forebay.local_reply.{code}"}  # Envoy requires a key
    return {"status_code_filter": {"comparison": {"op": comparison, "value": value}}}


def _mapper(chosen: Json, body: Json, status: int) -> Json:
    mapper: Json = {"filter": chosen, "body_format_override": {"json_format": body}}
    if status == UNAVAILABLE:
        mapper["headers_to_add"] = [{"header": {"key": "retry-after", "value": str(RETRY_S)}}]
    return mapper
