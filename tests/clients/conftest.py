"""A gateway for client libraries: users by API key, and a model that is asked too often after one request a second.

OpenAI's and Anthropic's clients for Python are among the packages for tests.  Others are opt-in, each in an environment
of its own: `make test-clients` says with FOREBAY_CLIENTS where those are.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from anyio.from_thread import start_blocking_portal

from simulator.core.profile import Profile
from simulator.serving.server import running_engine
from tests.support.stack import Stack, running_stack
from tests.support.waiting import until

FLOWS = Path(__file__).parent / "flows"
ENVIRONMENTS = os.environ.get("FOREBAY_CLIENTS", "")
PATIENT = "patient"
"""The model with `rps: 1`."""
FLOW_S = 60.0
"""For the slowest start of a client library."""


class Client(NamedTuple):
    """A client library and the command that takes its core flow."""

    name: str
    command: tuple[str, ...]


def _others() -> list[Client]:
    if not ENVIRONMENTS:
        return []
    at = Path(ENVIRONMENTS).absolute()
    return [
        Client("litellm", (str(at / "litellm/bin/python"), str(FLOWS / "litellm_client.py"))),
        Client("langchain", (str(at / "langchain/bin/python"), str(FLOWS / "langchain_client.py"))),
        Client("openai-node", ("node", str(at / "openai_node/flow.mjs"))),
        Client("vercel-ai", ("node", str(at / "vercel_ai/flow.mjs"))),
    ]


CLIENTS = [
    Client("openai", (sys.executable, str(FLOWS / "openai_python.py"))),
    Client("anthropic", (sys.executable, str(FLOWS / "anthropic_python.py"))),
    *_others(),
]


class Flow(NamedTuple):
    """The core flow of one client, taken."""

    client: str
    told: dict[str, Any]  # by the client
    refusals: dict[str, float]  # by kind, while it ran


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The default transport and mode, with API keys."""
    with (
        start_blocking_portal(backend_options={"use_uvloop": True}) as portal,
        portal.wrap_async_context_manager(running_engine(Profile(PATIENT))) as engine,
        running_stack(tmp_path_factory.mktemp("clients"), config="identity: api_key") as stack,
    ):
        endpoint = {"address": engine.address, "name": PATIENT}
        described = {"name": PATIENT, "rps": 1, "endpoints": [endpoint]}
        stack.write_models(yaml.safe_dump([*stack.models(), described]))
        until(lambda: stack.routes_to(engine.address), limit_s=20)
        yield stack


@pytest.fixture(scope="session", params=CLIENTS, ids=lambda client: client.name)
def flow(request: pytest.FixtureRequest, stack: Stack) -> Flow:
    """The results of the steps that a client library was asked to take."""
    client: Client = request.param
    whom = {
        "ROOT": stack.variables["GATEWAY"], "MODEL": stack.model, "PATIENT": PATIENT,
        "KEY": _key(stack, stack.user()), "EMPTY_KEY": _key(stack, stack.user(tpm=0)),
    }  # fmt: skip
    environment = {**os.environ, **whom, "NO_PROXY": "127.0.0.1", "PYTHONSAFEPATH": ""}
    before = _refusals(stack)
    done = subprocess.run(client.command, env=environment, capture_output=True, text=True, timeout=FLOW_S, check=False)
    assert 0 == done.returncode, done.stderr
    sys.stderr.write(done.stderr)  # for the report of a test that fails
    stack.settled()
    after = _refusals(stack)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return Flow(client.name, told, {kind: after[kind] - before.get(kind, 0) for kind in after})


def _key(stack: Stack, user: str) -> str:
    return str(stack.admin("/CreateKey", user=user, name="test").json()["secret"])


def _refusals(stack: Stack) -> dict[str, float]:
    found = {dict(labels)["kind"]: count for (name, labels), count in stack.metrics().items() if name == REFUSALS}
    return {"rps": 0.0, "tpm": 0.0, "invalid_key": 0.0} | found


REFUSALS = "forebay_refusals_total"
