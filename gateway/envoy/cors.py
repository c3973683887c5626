"""Cross-origin requests from browsers (Fetch standard, CORS protocol).

Lives here: Envoy's filter that answers preflights, and what browsers let pages send and read.  Not here: the origins
(gateway.config.settings).
The filter stands first, so that a preflight needs no key and errors of the gateway can be read too.
"""

from gateway.config.settings import Settings
from gateway.envoy.headers import CLIENT_HEADERS
from gateway.envoy.messages import Json, extension, message

_NAME = "envoy.filters.http.cors"
_TYPES = "envoy.extensions.filters.http.cors.v3"
_MAX_AGE_S = 7200
"""Seconds for which a browser may remember a preflight; Chromium's own limit."""


def cors_filter(settings: Settings) -> list[Json]:
    """Return the filter; nothing where no origin is allowed."""
    return [extension(_NAME, f"{_TYPES}.Cors")] if settings.envoy.cors_origins else []


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
