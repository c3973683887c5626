"""Every module says what it is for (tests do in their names) and has its test file in the same place under tests/."""

import ast
from pathlib import Path

from tests.support.source_tree import ROOT, python_files, read, source_files

TESTED_ELSEWHERE: dict[str, str] = {
    "forebay/cli/options.py": "declarations only",
    "console/pages/decisions.py": "tests/e2e/own_stack/test_console.py opens it in a browser",
    "console/pages/fleet.py": "tests/e2e/own_stack/test_console.py opens it in a browser",
    "console/pages/overview.py": "tests/e2e/own_stack/test_console.py opens it in a browser",
    "console/pages/try_it.py": "tests/e2e/own_stack/test_console.py opens it in a browser",
    "console/pages/users.py": "tests/e2e/own_stack/test_console.py opens it in a browser",
    "console/pages/waiting.py": "tests/e2e/own_stack/test_console.py opens it in a browser",
    "console/desk.py": "values only; tests/console/test_app.py makes one",
    "console/elements.py": "elements only; tests/e2e/own_stack/test_console.py looks for them",
    "forebay/displaying/process.py": "a process; tests/e2e/own_stack/test_console.py opens what it serves",
    "forebay/doctor/finding.py": "values only; the tests of those who look make them",
    "forebay/cli/simulating.py": "options only; tests/forebay/simulation/test_comparison.py runs the command",
    "gateway/config/kubernetes.py": "declarations only; tests/gateway/config/test_checks.py reads them",
    "gateway/config/settings.py": "declarations only; tests/gateway/config/test_loading.py reads files into them",
    "gateway/extproc/commands.py": "values only; tests/gateway/extproc/test_exchange.py expects them",
    "gateway/extproc/events.py": "values only; tests/gateway/extproc/test_exchange.py feeds them",
    "ratelimit/accounts/pages.py": "half of a store; tests/ratelimit/accounts/test_users.py lists users by it",
    "ratelimit/accounts/sender.py": "a value; tests/ratelimit/accounts/test_keyring.py compares it",
    "gateway/fleet/ticket.py": "values only; tests/gateway/fleet/test_fleet.py gets and returns them",
    "ratelimit/redis/apart.py": "tests/contract/test_limiter_levels.py and test_cluster.py run it on a cluster",
    "gateway/worker/process.py": "a process; tests/contract/test_ext_proc.py starts it",
    "gateway/envoy/names.py": "names only; tests/contract and tests/e2e run both sides that use them",
    "gateway/discovery/probing/rounds.py": "half of a checker; tests/gateway/discovery/probing/test_health.py runs it",
    "optimizer/planning/deployments.py": "values only",
    "controllers/modeladapter/controller.py": "calls only; tests/kubernetes/test_adapters.py runs it in a cluster",
    "autoscaling/decision.py": "values and a protocol; every test of a strategy reads them",
    "autoscaling/spec.py": "values; the tests of their reader write and read them",
    "controllers/podautoscaler/observing.py": "values and a protocol; tests of the controller use both",
    "runtime/errors.py": "a value; tests/runtime/test_app.py reads the answers that are made of it",
    "runtime/downloads/files.py": "values and a protocol; the tests of every source make them",
    "runtime/downloader.py": "a protocol, its values and its error; the tests of downloads and adapters use them",
    "traffic/connection.py": "no rules of its own; tests/traffic/test_store.py runs it on a server and on a cluster",
    "traffic/hint.py": "values only; tests/traffic/test_hint_json.py writes and reads them",
    "simulator/core/sequence.py": "values only; tests/simulator/core/test_engine.py moves them on",
}
"""Module -> why it has no test file of its own."""

NOTHING_TO_TEST = ("__init__.py", "__main__.py")
"""Packages hold a docstring, entry points one call."""


def mirrored_test(module: Path) -> Path:
    """`gateway/x/y.py` -> `tests/gateway/x/test_y.py`."""
    return Path("tests") / module.parent / f"test_{module.name}"


def test_every_module_has_a_docstring():
    explained = [path for path in python_files() if not path.name.startswith("test_")]

    assert [] == [str(path) for path in explained if not ast.get_docstring(ast.parse(read(path)))]


def test_every_module_has_its_test_file():
    needing_one = [
        path for path in source_files() if path.name not in NOTHING_TO_TEST and str(path) not in TESTED_ELSEWHERE
    ]

    assert [] == [str(path) for path in needing_one if not (ROOT / mirrored_test(path)).is_file()]


def test_the_table_of_exceptions_is_true():
    modules = {str(path) for path in source_files()}

    assert {"unknown": [], "tested after all": []} == {
        "unknown": sorted(TESTED_ELSEWHERE.keys() - modules),
        "tested after all": [name for name in TESTED_ELSEWHERE if (ROOT / mirrored_test(Path(name))).is_file()],
    }


def test_packages_hold_nothing_but_a_docstring():
    bodies = {str(path): ast.parse(read(path)).body for path in source_files() if path.name == "__init__.py"}

    assert [] == [path for path, body in bodies.items() if len(body) > 1]
