"""Names: of the labels and annotations that are read, and of the objects that are made of them.

Lives here: names, without I/O.  Not here: what the labels say (workloads), what is in the objects (objects).
docs/contracts.md, sections 5 and 8.
"""

import re
from hashlib import sha256

SERVICE, PATHS = "model.aibrix.ai/service-name", "model.aibrix.ai/model-router-custom-paths"
TIMEOUT = "forebay.io/request-timeout"

RESERVED = "aibrix-reserved-router"
SUFFIX = "-router"
LONGEST = 253
"""Characters of an object's name."""
DIGITS = 12
"""Hexadecimal digits of the hash in a name (AIBrix): 48 bits, which nobody meets by chance."""

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label (RFC 1123), as a Service is called."""
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_OTHERS = re.compile(r"[^a-z0-9]+")


def route_name(model: str) -> str:
    """Return the name of a model's route: `<model>-router`.

    A model that no object can be called after, or whose route would be the reserved one, is
    `<normalised>-<hash>-router`, so that models that only differ by what a name cannot hold have routes of their own.
    """
    name = model + SUFFIX
    if len(name) <= LONGEST and _SUBDOMAIN.fullmatch(name) and name != RESERVED:
        return name
    digest = sha256(model.encode()).hexdigest()[:DIGITS]
    plain = _OTHERS.sub("-", model.lower()).strip("-")[: LONGEST - len(SUFFIX) - DIGITS - 1].strip("-")
    return f"{plain or 'model'}-{digest}{SUFFIX}"


def grant_name(home: str, namespace: str) -> str:
    """Return the name of the grant in `namespace` for the routes in `home`."""
    return f"{home}-reserved-referencegrant-in-{namespace}"
