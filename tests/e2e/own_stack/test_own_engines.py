"""`forebay up` before engines of the user's: by URL, in a models file, and in the file that `forebay init` writes."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.ports import free_port
from tests.support.running_worker import answers
from tests.support.stack import Stack, shell_variables
from tests.support.waiting import until

pytestmark = pytest.mark.e2e


@contextlib.contextmanager
def engine(port: int, *options: str) -> Iterator[int]:
    """A simulated engine in place of the user's own."""
    argv = [sys.executable, "-m", "forebay", "engine", "--model", "mine", "--port", str(port), *options]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        try:
            until(lambda: answers(f"http://127.0.0.1:{port}/health"), limit_s=30)
            yield port
        finally:
            process.terminate()


@contextlib.contextmanager
def up(data: Path, *options: str) -> Iterator[Stack]:
    """Run it until the block ends; it has printed `ready` and its addresses."""
    stack = Stack(data, engines=None, options=options)
    try:
        until(lambda: (data / "env").exists() and "ready" in stack.lines, limit_s=60)
        stack.variables = shell_variables(data / "env")
        stack.users.base_url = stack.variables["GATEWAY"]
        yield stack
    finally:
        assert 0 == stack.end(), "\n".join(stack.lines)


def chat(stack: Stack, model: str) -> httpx.Response:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    return httpx.post(f"{stack.variables['GATEWAY']}/v1/chat/completions", json=body, trust_env=False, timeout=30)


def test_engines_at_urls_are_asked_for_their_models_and_taken_in_when_they_come(tmp_path: Path):
    late = free_port()
    with engine(free_port(), "--adapter", "tuned") as port:
        urls = f"http://localhost:{port}/v1,http://localhost:{late}"
        with up(tmp_path, "--engine-url", urls) as stack:
            assert "mine" == stack.variables["MODEL"]
            assert f"http://localhost:{port} http://localhost:{late}" == stack.variables["ENGINES"]
            assert any(f"http://localhost:{late}  is not there yet" in line for line in stack.lines)
            until(lambda: chat(stack, "tuned").is_success)
            assert f"localhost:{port}" == chat(stack, "mine").headers["target-pod"]
            assert {"redis", "envoy", "gateway"} == {
                process["role"] for role in ROLES for process in stack.processes(role)
            }

            with engine(late):
                until(lambda: stack.routes_to(f"127.0.0.1:{late}"), limit_s=30)


ROLES = ("redis", "envoy", "gateway", "engine")


def test_without_any_engine_it_is_ready_and_says_how_to_use_it_once_one_comes(tmp_path: Path):
    port = free_port()
    with up(tmp_path, "--engine-url", f"http://127.0.0.1:{port}") as stack:
        assert ("", 503) == (stack.variables["MODEL"], chat(stack, "mine").status_code)
        with engine(port):
            until(lambda: any('"model":"mine"' in line for line in stack.lines), limit_s=30)
            assert "mine" == shell_variables(tmp_path / "env")["MODEL"]
            until(lambda: chat(stack, "mine").is_success, limit_s=30)


def test_a_models_file_is_watched_never_written_and_used_by_the_next_run(tmp_path: Path):
    file = tmp_path / "my-models.yaml"
    with engine(free_port()) as first, engine(free_port()) as second:
        file.write_text(described(first))
        for port, other in ((first, second), (second, first)):
            with up(tmp_path / "data", "--models", str(file)) as stack:
                assert (f"http://127.0.0.1:{port}", "mine") == (stack.variables["ENGINES"], stack.variables["MODEL"])
                until(lambda port=port: f"127.0.0.1:{port}" == chat(stack, "mine").headers["target-pod"])

                file.write_text(described(other))
                until(lambda other=other: f"127.0.0.1:{other}" == chat(stack, "mine").headers["target-pod"])
            assert described(other) == file.read_text()


def test_adapters_come_and_go_by_the_admin_rest_without_a_change_of_the_file(tmp_path: Path):
    file = tmp_path / "my-models.yaml"
    with engine(free_port()) as one, engine(free_port()) as other:
        engines = [{"address": f"127.0.0.1:{port}", "adapters": "auto"} for port in (one, other)]
        file.write_text(yaml.safe_dump([{"name": "mine", "endpoints": engines}]))
        with up(tmp_path / "data", "--models", str(file)) as stack:
            until(lambda: chat(stack, "mine").is_success)
            assert 404 == chat(stack, "tuned").status_code

            loaded = admin(stack, "LoadAdapter", model="mine", path="/adapters/tuned")
            pods = {chat(stack, "tuned").headers["target-pod"] for _ in range(8)}
            unloaded = admin(stack, "UnloadAdapter")
            assert 404 == chat(stack, "tuned").status_code

    assert 1 == len(pods)
    assert sorted(pods) == loaded["adapter"]["pods"] == unloaded["adapter"]["pods"]


@pytest.mark.parametrize("waits", [True, False])
def test_while_an_engine_that_was_killed_is_away_its_adapter_is_waited_for_or_503(tmp_path: Path, waits: bool):
    file, port = tmp_path / "my-models.yaml", free_port()
    model = {"name": "mine", "waits_for_adapters": waits}
    file.write_text(yaml.safe_dump([model | {"endpoints": [{"address": f"127.0.0.1:{port}", "adapters": "auto"}]}]))
    with up(tmp_path / "data", "--models", str(file)) as stack:
        with engine(port):
            until(lambda: '"ready"' in known(stack))
            admin(stack, "LoadAdapter", model="mine", path="/adapters/tuned")
            assert chat(stack, "tuned").is_success
        until(lambda: "tuned" not in known(stack))
        with ThreadPoolExecutor(1) as thread:
            meanwhile = thread.submit(chat, stack, "tuned")
            if waits:
                until(lambda: waiting(stack) == 1)
            else:
                answer = meanwhile.result()
                assert (503, "true") == (answer.status_code, answer.headers["x-error-no-model-backends"])
                assert int(answer.headers["retry-after"]) > 0
            with engine(port):
                until(lambda: chat(stack, "tuned").is_success, limit_s=30)
                assert (200 if waits else 503) == meanwhile.result().status_code


def known(stack: Stack) -> str:
    """All pods as the gateway knows them."""
    return httpx.get(f"{stack.variables['HTTP']}/debug/endpoints", trust_env=False).text


def waiting(stack: Stack) -> int:
    page = httpx.get(f"{stack.variables['HTTP']}/debug/waiting", trust_env=False).json()
    return sum(model["waiting"] for model in page.values())


def admin(stack: Stack, call: str, **more: str) -> dict[str, Any]:
    url = f"{stack.variables['ADMIN']}/{call}"
    answer = httpx.post(url, json={"name": "tuned", **more}, trust_env=False, timeout=30)
    assert 200 == answer.status_code, answer.text
    return dict(answer.json())


def described(port: int) -> str:
    models = [{"name": "without-engines"}, {"name": "mine", "endpoints": [{"address": f"127.0.0.1:{port}"}]}]
    return yaml.safe_dump(models)


def test_the_file_that_init_writes_runs_at_the_addresses_that_it_names(tmp_path: Path):
    file, users = tmp_path / "forebay.yaml", free_port()
    with engine(free_port()) as port:
        init = [sys.executable, "-m", "forebay", "init", str(file), "--engine-url", f"http://127.0.0.1:{port}"]
        subprocess.run(init, check=True, stdout=subprocess.DEVNULL)
        file.write_text(file.read_text().replace("127.0.0.1:10000", f"0.0.0.0:{users}"))
        with up(tmp_path / "data", "--config", str(file)) as stack:
            assert (f"http://127.0.0.1:{users}", "mine") == (stack.variables["GATEWAY"], stack.variables["MODEL"])
            until(lambda: chat(stack, "mine").is_success)
