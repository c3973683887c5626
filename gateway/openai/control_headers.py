"""The request headers that decide who sends a request and what is done with it.

Lives here: their names, and refusing a request that says they are not meant for us.  Not here: reading them.
"""

from gateway.openai.errors import BadRequestError
from gateway.openai.rewrites import MODEL_REWRITE

OBJECTIVE = "x-gateway-inference-objective"
"""The request header that names an objective, which gives the request a priority."""
FAIRNESS_ID = "x-gateway-inference-fairness-id"
"""The request header that says who takes turns with others, where the request is no user's."""
PICKER_HEADERS = frozenset({OBJECTIVE, FAIRNESS_ID, MODEL_REWRITE})
"""The headers of Gateway API Inference Extension (v1.3.0, pkg/epp/metadata) that steer us and that end here."""

CONTROL_HEADERS = frozenset(
    {
        "user", "authorization", "x-api-key", "api-key", "proxy-authorization", "routing-strategy", "external-filter",
        "model", "x-session-id", "x-request-id", "request-id", "dry-run", "config-profile", "traceparent", "host",
        "origin", "content-type", "content-length", "content-encoding", "transfer-encoding", "accept",
        "accept-encoding", "anthropic-version", "anthropic-beta", OBJECTIVE, FAIRNESS_ID, MODEL_REWRITE,
    }
)  # fmt: skip
"""The names that we, or an engine on our behalf, go by (docs/contracts.md section 1)."""


def refuse_nominated(connection: str) -> None:
    """Raise BadRequestError when the header `connection` names one of them.

    A proxy removes what it names (RFC 9110 section 7.6.1): so a client behind one could take off the user that the
    proxy set, and be nobody in particular.
    """
    for name in map(str.strip, connection.lower().split(",")):
        if name in CONTROL_HEADERS:
            raise BadRequestError(f"connection = {name}, must not name a header that says who asks or for what")
