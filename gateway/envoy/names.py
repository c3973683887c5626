"""Names that the gateway and the Envoy that it configures must agree on.

Lives here: names that one side writes and the other reads.  Not here: names that only one of them uses.
"""

DESTINATION = "x-gateway-destination-endpoint"
"""The endpoints of a request in their order, `ip:port[,ip:port...]`, both as a header and as a key in LB_NAMESPACE
(Gateway API Inference Extension, proposal 004)."""

LB_NAMESPACE = "envoy.lb"
"""Namespace of the dynamic metadata that Envoy's load balancing reads: DESTINATION and `model`."""
FIRST_POD = "first-pod"
"""Key in LB_NAMESPACE: `ip:port` of the pod to try next, of a request that waited for the first pod of its model.  Its
DESTINATION there is then the pods that may still be tried, this one the first."""
RESPONSE_NAMESPACE = "forebay.response"
"""Namespace of the dynamic metadata that becomes response headers; its keys are their names."""
EXCHANGE_NAMESPACE = "forebay"
"""Namespace of what a request carries to its access-log entry (gateway.accounting.carried): EXCHANGE_KEY and more."""
EXCHANGE_KEY = "exchange"
"""Key of the exchange's id, `<worker's index>-<replica>-<number>`, by which its access-log entry finds the worker and
the request."""
PODS_NAMESPACE = "forebay.pods"
"""Namespace of the dynamic metadata with the names of the pods that a request may reach, by their addresses: where
others describe the endpoints to Envoy, and so without names."""
POOLS_NAMESPACE = "forebay.pools"
"""Namespace with the pools of those that are in one, likewise."""
API_NAMESPACE = "forebay.api"
"""Namespace of the metadata by which a listener inside Envoy names its pool to the gateway, under API_POOL."""
API_POOL = "pool"
UNREACHED = "x-envoy-api-unreached"
"""The header of an answer that is Envoy's or the gateway's in place of an API's: the next endpoint is asked.  An engine
that sends it gains nothing: it could as well close the connection."""
USAGE_NAMESPACE = "usage"
"""Namespace of the dynamic metadata that the usage filters read in answers."""
ERROR_NAMESPACE = "engine_error"
"""Namespace of what they read of an error in an answer; its keys are the members' paths, joined by dots."""

MAX_HEADERS = 100
MAX_HEADERS_BYTES = 60 << 10
"""Headers that a request may have, pseudo headers and Envoy's own counted, and bytes of them.  The gateway refuses more
with 431.  Envoy itself has room for more (gateway.envoy.headers), because it counts those that the gateway sets too,
and would answer 503 to a request that was charged."""

JSON_TYPES = r"(application|text)/(.+\+)?json"
"""The media types of JSON as a regular expression, in lower case and without parameters (RFC 6839)."""
COMPRESSION = "content-encoding"
"""The response header that names the compression of an answer, whose size then says nothing of its tokens."""
RETRY_AFTER = "retry-after"
"""The response header by which an API says how long it wants to be left alone."""
CLIENT_MODEL = "x-client-model"
"""The client's header `model`, where routes match `model` itself, so that clients must not set it (deploy/)."""
FOR_PROXIES = "proxy-authorization"
"""A header for proxies on the way (RFC 9110 section 11.7.2), which no engine may see."""

UPSTREAM_ADDRESS_ATTRIBUTE = "upstream.address"
"""The attribute that Envoy sends with the response headers; after a retry it is not the pod that was named first."""
REFUSAL_DETAILS = "forebay"
"""`ImmediateResponse.details` of the gateway's own refusals, so that Envoy's local replies leave them alone."""

MAX_REQUEST_ID_CHARACTERS = 256
"""Characters of `x-request-id` that are kept (chosen: ids of clients and proxies have some 40)."""
