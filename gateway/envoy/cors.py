"""Cross-origin requests from browsers (Fetch standard, CORS protocol).

Lives here: Envoy's filter that answers preflights, and what browsers let pages send and read.  Not here: the origins
(gateway.config.settings).
The filter stands first, so that a preflight needs no key and errors of the gateway can be read too.  It repeats the
origin that it allows, so that every answer varies by it: a cache must not give a page what another was allowed.
"""

from gateway.config.settings import Settings
from gateway.envoy.headers import CLIENT_HEADERS, header_filter
from gateway.envoy.messages import Json, extension, message

_NAME = "envoy.filters.http.cors"
_TYPES = "envoy.extensions.filters.http.cors.v3"
_MAX_AGE_S = 7200
"""Seconds for which a browser may remember a preflight; Chromium's own limit."""


def cors_filters(settings: Settings) -> list[Json]:
    """Return the filter, and in front of it one that says what its answers vary by; nothing without allowed origins."""
    if not settings.envoy.cors_origins:
        return []
    vary = {"header": {"key": "vary", "value": "origin"}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}
    return [header_filter(response_mutations=[{"append": vary}]), extension(_NAME, f"{_TYPES}.Cors")]


def cors_policy(settings: Settings) -> Json:
    """Return the fields of the virtual host that tell the filter what is allowed.

    `*` stands for all header names but `authorization`, which has to be named.
    """
    origins = settings.envoy.cors_origins
    if not origins:
        return {}
    any_origin = [{"safe_regex": {"regex": ".*"}}]
    policy = message(
        f"{_TYPES}.CorsPolicy",
        allow_origin_string_match=any_origin if "*" in origins else [{"exact": origin} for origin in origins],
        allow_methods="GET, POST, DELETE, HEAD, OPTIONS",
        allow_headers="authorization, content-type, x-api-key, user, *",
        expose_headers=", ".join([*CLIENT_HEADERS, "*"]),
        max_age=str(_MAX_AGE_S),
    )
    return {"typed_per_filter_config": {_NAME: policy}}
