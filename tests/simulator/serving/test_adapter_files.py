"""The rank of an adapter's files."""

from pathlib import Path

import pytest

from simulator.serving.adapter_files import rank_of
from tests.support.engines import an_engine


@pytest.mark.parametrize(("config", "rank"), [(b'{"r": 8}', 8), (b'{"r": "8"}', 0), (b"{}", 0), (b"[]", 0), (b"{", 0)])
def test_the_rank_is_that_of_the_configuration(tmp_path: Path, config: bytes, rank: int):
    (tmp_path / "adapter_config.json").write_bytes(config)

    assert (rank, 0) == (rank_of(str(tmp_path)), rank_of("/no/such/folder"))


@pytest.mark.parametrize(("rank", "status"), [(16, 200), (17, 500)])
async def test_one_that_is_too_large_is_refused_in_vllms_words(tmp_path: Path, rank: int, status: int):
    (tmp_path / "adapter_config.json").write_text(f'{{"r": {rank}}}')
    async with an_engine() as (_, client):
        answer = await client.post("/v1/load_lora_adapter", json={"lora_name": "ad", "lora_path": str(tmp_path)})

    said = "LoRA rank 17 is greater than max_lora_rank 16."
    assert (status, status == 500) == (answer.status_code, said in answer.text)
