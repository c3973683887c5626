"""Names that the gateway and the Envoy it configures must agree on.

Lives here: what one side writes and the other reads.  Not here: names that only one of them uses.
"""

DESTINATION = "x-gateway-destination-endpoint"
"""Gateway API Inference Extension, proposal 004: `ip:port[,ip:port...]`, as a header and in LB_NAMESPACE alike."""

LB_NAMESPACE = "envoy.lb"
"""Dynamic metadata that Envoy's load balancing reads: DESTINATION and `model`."""
RESPONSE_NAMESPACE = "forebay.response"
"""Dynamic metadata whose keys are the names of response headers."""
EXCHANGE_NAMESPACE = "forebay"
"""Dynamic metadata EXCHANGE_KEY: `<worker>-<number>`, whose the access-log entry is."""
EXCHANGE_KEY = "exchange"
USAGE_NAMESPACE = "usage"
"""Dynamic metadata that the usage filters lift out of answers."""

UPSTREAM_ADDRESS_ATTRIBUTE = "upstream.address"
"""The attribute told with the response headers: after a retry it is not the pod that was named first."""
REFUSAL_DETAILS = "forebay"
"""`ImmediateResponse.details` of the gateway's own refusals, so that Envoy's local replies leave them alone."""
