"""The command line of the ACK Edge article, and the objects that `forebay pools render` makes of it."""

import shlex
from typing import Any

import yaml

from tests.support.command import run

ARTICLE = r"""
    --name=qwen-chat \
    --image=kube-ai-registry.cn-shanghai.cr.aliyuncs.com/kube-ai/vllm:0.4.1 \
    --scale-metric=DCGM_CUSTOM_PROCESS_SM_UTIL \
    --scale-target=50 \
    --min-replicas=1 \
    --max-replicas=3 \
    --gpus=1 \
    --cpu=4 \
    --memory=12Gi \
    --data="llm-model:/mnt/models/Qwen" \
    "python3 -m vllm.entrypoints.openai.api_server --port 8080 --trust-remote-code --served-model-name qwen \
--model /mnt/models/Qwen --gpu-memory-utilization 0.95 --quantization gptq --max-model-len=6144"
"""
"""The options after `arena serve kserve`, as they are printed there."""


def rendered(*options: str, engine: str = "kserve", line: str = ARTICLE) -> list[dict[str, Any]]:
    """The objects, with further options."""
    result = run("pools", "render", "--engine", engine, *options, *shlex.split(line.replace("\\\n", "")))
    assert result.exit_code == 0, result.output
    return list(yaml.safe_load_all(result.stdout))


def named(objects: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """The objects by kind and name, each once."""
    found = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    assert len(found) == len(objects)
    return found
