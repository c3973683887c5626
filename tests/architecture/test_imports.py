"""The dependency rules of design section 3 that name single modules.

Rules about whole packages are import-linter contracts in pyproject.toml; import-linter rejects modules that do not
exist, so rules about modules still to come are stated here, on the same import graph (grimp).
"""

from functools import cache

import grimp
import pytest

from tests.support.source_tree import PACKAGES

IO = frozenset({"asyncio", "time", "random", "os", "logging", "socket", "redis", "grpc", "kubernetes", "lightkube"})

PURE = (
    "routing",
    "ratelimit.limits",
    "ratelimit.window",
    "gateway.extproc.commands",
    "gateway.extproc.events",
    "gateway.extproc.exchange",
    "gateway.fleet.fleet",
    "gateway.openai",
    "autoscaling",
    "gateway.fleet.decisions",
    "gateway.fleet.pod",
    "gateway.sharing.messages",
    "gateway.discovery.probing.engine_metrics",
    "kube.conditions",
    "kube.errors",
    "kube.objects",
    "kube.store",
    "optimizer.input",
    "optimizer.planning",
    "optimizer.profiles",
    "optimizer.solver",
    "simulator.core",
    "simulator.core.profile",
    "simulator.openai.tokens",
    "traffic.hint",
    "traffic.hint_json",
    "traffic.trace_json",
    "traffic.window",
)
"""Decide or parse: may not reach IO, not even through another module.  A package stands for all that is in it."""

IMPORTERS: dict[str, tuple[str, ...]] = {
    "grpc": ("gateway.serving.grpc", "gateway.worker.worker"),
    "gateway.pb": ("gateway.pb", "gateway.extproc.wire", "gateway.accounting.access_log", "gateway.serving"),
    "redis": (
        "ratelimit",
        "gateway.sharing",
        "gateway.worker.worker",
        "forebay.local",
        "traffic",
        "optimizer.profiling.destinations",
    ),
    "cryptography": ("controllers.metricsapi.certificate",),
    "envoy": ("forebay.local.envoy",),
    "simulator": ("simulator", "forebay"),
    "optimizer": ("optimizer", "forebay"),
    "zmq": ("simulator.serving.kv_events",),
    "msgpack": ("simulator.serving.kv_events",),
    "lightkube": ("kube.client",),
    "httpx2": (
        "kube.client",
        "controllers.modeladapter.engines",
        "controllers.podautoscaler.sleepers",
        "controllers.podautoscaler.sources.pages",
    ),
    "highspy": ("optimizer.solver.linear",),
    "httpx": ("simulator.calibration", "forebay.profiling.engine_meter", "runtime"),
    "matplotlib": (
        "forebay.simulation.autoscale_plots",
        "forebay.simulation.mix_plots",
        "simulator.replay.plots",
        "optimizer.profiling.picture",
    ),
}
"""The packages that may import each of these libraries directly."""


def inside(module: str, packages: tuple[str, ...]) -> bool:
    """Whether the module is one of the packages or lies in one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@cache
def graph() -> grimp.ImportGraph:
    """All imports of our packages except those for type checkers only."""
    return grimp.build_graph(
        *PACKAGES, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


def reachable_io(module: str) -> set[str]:
    """The members of IO that importing `module` leads to."""
    return set(graph().find_upstream_modules(module) & IO)


def direct_importers(target: str) -> set[str]:
    """Every module that imports the target or something in it."""
    targets = [name for name in graph().modules if inside(name, (target,))]
    return {importer for name in targets for importer in graph().find_modules_that_directly_import(name)}


@pytest.mark.parametrize("package", PURE)
def test_decisions_do_no_io_and_read_no_clock(package: str):
    impure = {name: found for name in graph().modules if inside(name, (package,)) and (found := reachable_io(name))}

    assert {} == impure


@pytest.mark.parametrize("target", IMPORTERS)
def test_only_the_named_modules_import(target: str):
    assert [] == sorted(name for name in direct_importers(target) if not inside(name, IMPORTERS[target]))


def test_the_leaves_know_nobody_but_autoscaling_the_windows_of_traffic():
    below = {"autoscaling": ("traffic.window",)}  # a value without I/O, which arrivals are made of
    leaves = ("autoscaling", "gateway.pb", "kube", "ratelimit", "routing", "traffic")
    reached = {leaf: graph().find_upstream_modules(leaf, as_package=True) for leaf in leaves}

    assert {} == {
        leaf: found
        for leaf, names in reached.items()
        if (found := {n for n in names if inside(n, PACKAGES) and not inside(n, (leaf, *below.get(leaf, ())))})
    }
