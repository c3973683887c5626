"""Whether a request may be sent, when, and to which pod: identity, limits, waiting, and the reply to Envoy."""
