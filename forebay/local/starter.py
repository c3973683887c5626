"""The configuration that `forebay init` writes: what a new user wants to set, with an explanation.

Lives here: its text.  Not here: all keys (gateway.config.settings, docs/config.md), asking engines
(forebay.local.engine_url).
"""

from collections.abc import Sequence

import yaml

from forebay.local.engine_url import Engine, EngineUrl
from forebay.local.engine_watch import listed_models

_TEXT = """\
# A configuration of Forebay, written by `forebay init`.  A line with # is a comment; `#key:` shows a key that is unset.
#
#   forebay check-config {name}        lists what is wrong with it
#   forebay up --config {name}         runs it here, with a Redis and an Envoy of its own
#   forebay gateway --config {name}    runs the gateway alone, for a Redis and an Envoy of yours
#   forebay envoy-config --config {name}   prints the configuration of that Envoy
#
# Every key, with its default: docs/config.md.  ${{NAME}} stands for an environment variable.

# The engines, by the name of the model that they serve.  An address is ip:port, not a name.  The kind of engine is
# vllm, sglang, trtllm or other.  Without any model `forebay up` simulates three engines.
models:{models}

# In place of `models`: a file with such a list, which is read again whenever it changes.
#models_file: models.yaml

# The Envoy in front: where users send their requests.  0.0.0.0:10000 is reachable from other machines too.
envoy:
  listen: 127.0.0.1:10000

# The gateway itself: gRPC for Envoy, pages for operators, and the admin REST, by which users and keys are made.
listen:
  grpc: 127.0.0.1:50052
  http: 127.0.0.1:8080
  admin: 127.0.0.1:8090

# The bearer token of the admin REST.  On any address but loopback it is required.
#admin_token: ${{FOREBAY_ADMIN_TOKEN}}

# Holds users, keys and what counts against limits.  `forebay up` runs its own and does not read the URL.
redis:
  url: redis://127.0.0.1:6379/0
  when_away: local           # without Redis: local = each worker enforces its share of the limits; or deny, allow

# The identity of a request: the `user` header (header) or an API key (api_key).
identity: header
# Requests without a user: allow, deny, or the name of a user that they count as.
#anonymous: deny

routing:
  strategy: forebay          # or least-request, prefix-cache, ...: docs/routing.md
  #slo_ttft_s: 2             # promised seconds to the first token; when no engine can keep it, requests wait here
  #longest_wait_s: 20        # and at most so long

limits:
  output_tokens: 256         # reserved for a request that names no maximum, until answers have been seen

timeouts:
  request_s: 3600            # for a whole answer
  idle_s: 600                # without any byte of it

# The place where usage is read: in Envoy (metadata), or in the gateway, through which answers then pass (ext_proc).
response_mode: metadata
"""
_EXAMPLE = """ []
#  - name: my-model
#    endpoints:
#      - {address: "127.0.0.1:8000", name: engine-1, engine: vllm}
#      - {address: "127.0.0.1:8001", name: engine-2, engine: vllm}"""


def starter_text(name: str, engines: Sequence[tuple[EngineUrl, Engine]]) -> str:
    """Return the text of a configuration file called `name`, with these engines or an example of them."""
    models = listed_models(dict(engines))
    written = yaml.safe_dump(models, sort_keys=False, indent=2) if models else ""
    lines = "".join(f"\n  {line}" for line in written.splitlines())
    return _TEXT.format(name=name, models=lines or _EXAMPLE)
