"""The simulated engines of `forebay up`, as real processes."""

from pathlib import Path

from forebay.local.engines import MODEL, engine_specs
from forebay.local.supervision.supervisor import Supervisor
from tests.support.ports import free_address


async def test_engines_start_with_the_names_and_addresses_that_they_are_given(tmp_path: Path):
    addresses = [free_address(), free_address()]
    supervisor = Supervisor([].append)
    try:
        await supervisor.start(*engine_specs(addresses, "", tmp_path))
        running = [(spec.role, spec.name, spec.address) for spec, _ in supervisor.running()]
    finally:
        await supervisor.stop()

    assert [("engine", "engine-1", addresses[0]), ("engine", "engine-2", addresses[1])] == running


def test_a_gpu_is_passed_on(tmp_path: Path):
    (plain,), (chosen,) = (engine_specs(["127.0.0.1:1"], gpu, tmp_path) for gpu in ("", "L20"))

    assert (MODEL, "127.0.0.1", "1") == tuple(
        plain.argv[plain.argv.index(option) + 1] for option in ("--model", "--host", "--port")
    )
    assert "--gpu" not in plain.argv
    assert "L20" == chosen.argv[chosen.argv.index("--gpu") + 1]
