"""The files of a LoRA adapter, as far as a simulated engine looks at them: whether its rank fits.

Lives here: reading the rank.  Not here: the answer (control).  Paths that are not there are accepted, so that tests and
trials need no files.
"""

import contextlib
from pathlib import Path

import orjson

MAX_RANK = 16
"""The default of vLLM's `--max-lora-rank`."""


def rank_of(path: str) -> int:
    """Return the rank of the adapter in a folder; 0 where that says none."""
    with contextlib.suppress(OSError, orjson.JSONDecodeError):
        config = orjson.loads((Path(path) / "adapter_config.json").read_bytes())
        rank = config.get("r") if isinstance(config, dict) else None
        return rank if isinstance(rank, int) else 0
    return 0
