"""The section `api` of a pool: an API in the cloud in place of engines.

Lives here: its keys.  Not here: the pool's other keys (pools), Envoy's way to it (gateway.envoy.apis).
"""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from gateway.config.addresses import gateway_address, http_path
from gateway.config.section import NO_FLAG, ModelName, Section
from ratelimit.limits import MAX_LIMIT

HTTPS_PORT = 443
INSIDE = "envoy://"
"""The beginning of addresses inside Envoy, `envoy://<listener>/<number>`, as Envoy itself writes them."""
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"
"""The authorities that Debian and Ubuntu trust, and so Envoy's own images."""
_CALLS_A_MINUTE = Annotated[int | None, Field(ge=1, le=MAX_LIMIT), NO_FLAG]


def api_name(pool: str) -> str:
    """Return the name of Envoy's listener and of its cluster for the API of a pool."""
    return f"api-{pool}"


def api_url(url: str) -> str:
    """Return the URL without a slash at its end if it is `https://host[:port][/prefix]`, else raise ValueError."""
    message = "must be https://host, https://host:port or one of these with a path, without user, query and fragment"
    try:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment:
            raise ValueError
        gateway_address(f"{parts.hostname}:{HTTPS_PORT if parts.port is None else parts.port}")
        http_path(parts.path or "/")
    except ValueError:
        raise ValueError(message) from None
    return url.rstrip("/")


class ApiSettings(Section):
    """An API with the paths and bodies of OpenAI's, over TLS.  Envoy alone has its key, and checks its certificate."""

    url: Annotated[str, AfterValidator(api_url)]
    """Its address, as `https://api.example.com/v1`: what takes the place of `/v1` in the paths of requests."""
    key_file: str = ""
    """A file with the API key, which Envoy reads when it starts.  A relative path starts at the folder of this file."""
    key_env: Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")] = ""
    """The environment variable of Envoy that holds the key, in place of `key_file`."""
    ca: str = SYSTEM_CA
    """A PEM file with the authorities that its certificate may have.  A relative path starts at the folder of this
    file."""
    models: Annotated[dict[ModelName, ModelName], Field(min_length=1)]
    """The names that clients send, each with the API's own name of the model."""
    rpm: _CALLS_A_MINUTE = None
    """The most requests that it is sent in any 60 s, over all replicas.  Absent: unlimited."""
    tpm: _CALLS_A_MINUTE = None
    """The same of tokens, of prompts and answers together."""
    cost_day: Annotated[float | None, Field(gt=0, le=1_000_000), NO_FLAG] = None
    """The most that may be spent on it in a day (UTC), by the pool's `prices`.  Absent: unlimited."""

    @property
    def address(self) -> str:
        """The address `host:port`."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or HTTPS_PORT}"

    @property
    def prefix(self) -> str:
        """The path that takes the place of `/v1`."""
        return urlsplit(self.url).path
