"""The answer to GET / on the users' listener, for people who try an address.

Lives here: its routes and its text.  Not here: what the gateway answers (gateway.admission.inquiries).
"""

import orjson

from gateway.envoy.messages import Json, message, set_header

_WHAT = "Forebay, an LLM inference gateway"
_PATHS = {
    "POST /v1/chat/completions": "send a request to a model; the other paths of OpenAI's API work too",
    "GET /v1/models": "which models there are",
    "GET /v1/usage": "what is left of your limits",
}


def index_routes() -> list[Json]:
    """Return the routes of GET /, which Envoy answers itself, to anyone: as JSON for clients that ask for it."""
    lines = [f"This is {_WHAT}.\n", *(f"  {path:<26}  {what}" for path, what in _PATHS.items())]
    page = orjson.dumps({"service": _WHAT, "paths": _PATHS}).decode()
    wants_json = {"name": "accept", "string_match": {"contains": "application/json", "ignore_case": True}}
    return [_route(page, "application/json", [wants_json]), _route("\n".join(lines) + "\n", "text/plain", [])]


def _route(body: str, media_type: str, headers: list[Json]) -> Json:
    get = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
    off = message("envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute", disabled=True)
    return {
        "match": {"path": "/", "headers": [get, *headers]},
        "direct_response": {"status": 200, "body": {"inline_string": body}},
        "response_headers_to_add": [set_header("content-type", media_type)],
        "typed_per_filter_config": {"envoy.filters.http.ext_proc": off},
    }
