import pytest

from simulator.calibration.gpu_file import gpu_text, load_gpu
from simulator.core.gpus import GPUS


def test_a_profile_survives_its_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(gpu_text(GPUS["L20"], "measured\nby me"))

    assert GPUS["L20"] == load_gpu(str(file))
    assert file.read_text().startswith("# measured\n# by me\n")


def test_a_name_is_a_profile_that_ships():
    assert GPUS["A10"] is load_gpu("A10")


def test_what_is_neither_a_name_nor_a_file_names_the_profiles_there_are():
    with pytest.raises(ValueError, match="L20"):
        load_gpu("abacus")


@pytest.mark.parametrize("text", ["speed: {a: 1}", "[1, 2", "kv_blocks: 100\nmood: good"])
def test_a_file_that_is_no_profile_is_refused(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(text)

    with pytest.raises(ValueError, match="is no GPU profile"):
        load_gpu(str(file))
