"""`make-secret` where there is no cluster; what it makes is tested on a real API server in tests/kubernetes."""

from pathlib import Path

from tests.support.command import run
from tests.support.kubernetes.script import a_kubeconfig
from tests.support.ports import free_address


def test_where_no_server_answers_one_line_says_so(tmp_path: Path):
    kubeconfig = a_kubeconfig(tmp_path, f"http://{free_address()}")

    result = run("make-secret", "s", "password", "--kubeconfig", str(kubeconfig))

    assert 1 == result.exit_code
    assert result.output.startswith("Error: s was not made: ")
    assert 1 == len(result.output.splitlines())


def test_outside_of_a_pod_one_line_asks_for_a_kubeconfig():
    result = run("make-secret", "s", "password")

    assert (1, 1) == (result.exit_code, len(result.output.splitlines()))
    assert result.output.startswith("Error: s was not made: no kubeconfig is named, and this is no pod")


def test_a_secret_needs_a_key():
    assert 2 == run("make-secret", "s").exit_code
