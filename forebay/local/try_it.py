"""The commands that `forebay up` prints for a first request, as they work with the configuration at hand."""

import shlex
from collections.abc import Mapping

import orjson

from gateway.config.settings import Settings

_JSON = "-H 'content-type: application/json'"
_CHAT = '{"model":%s,"messages":[{"role":"user","content":"Say this is a test!"}],"temperature":0.7}'
_PICK_KEY = """ | sed 's/.*"secret":"\\([^"]*\\)".*/\\1/'"""


def try_it(settings: Settings, variables: Mapping[str, str], *, starts_engines: bool = False) -> str:
    """Return commands to copy: make a user, with API keys a key, and send a chat request.

    `variables` are the shell variables that the user has; the admin token is named and not shown.  `starts_engines`
    says that a request starts the first engine.
    """
    admin, gateway = _curl(variables["ADMIN"]), _curl(variables["GATEWAY"])
    token = ' -H "authorization: Bearer $ADMIN_TOKEN"' if settings.admin_token else ""
    lines = ["ADMIN_TOKEN=...   # `admin_token` of the configuration"] if token else []
    lines.append(f"""{admin}/CreateUser{token} {_JSON} -d '{{"name":"lgy","rpm":3,"tpm":1000}}'""")
    identity = "-H 'user: lgy'"
    if settings.identity == "api_key":
        lines.append(f"""KEY=$({admin}/CreateKey -s{token} {_JSON} -d '{{"user":"lgy"}}'{_PICK_KEY})""")
        identity = '-H "authorization: Bearer $KEY"'
    lines.append(f"{gateway}/v1/chat/completions {identity} {_JSON} \\")
    lines.append(f"  -d {shlex.quote(_CHAT % orjson.dumps(variables['MODEL']).decode())}")
    has_engine = variables["ENGINES"] or starts_engines
    title = "Try it:" if has_engine else "Try it, once a model has an engine (503 until then):"
    return "\n".join([title, *(f"  {line}" for line in lines)])


def _curl(url: str) -> str:
    """Return the beginning of a command, which checks no certificate: it is seldom one for loopback."""
    return f"curl -k {url}" if url.startswith("https:") else f"curl {url}"
