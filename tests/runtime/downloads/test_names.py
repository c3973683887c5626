"""Names: those that lead out of the folder, or cannot all be in it, are refused before anything is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.downloader import DownloadError
from runtime.downloads.files import RemoteFile
from runtime.downloads.names import check_paths, checked_name


def named(*paths: str) -> list[RemoteFile]:
    return [RemoteFile(path, path, 1, "v") for path in paths]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../x", "leads elsewhere"),
        ("a/../../x", "leads elsewhere"),
        ("a/./x", "leads elsewhere"),
        ("a//x", "leads elsewhere"),
        ("a/", "leads elsewhere"),
        ("..", "leads elsewhere"),
        ("/etc/passwd", "is not relative"),
        ("", "is not relative"),
        ("a\\..\\x", "character"),
        ("a\nb", "character"),
        ("a\0b", "character"),
        ("\ud800", "character"),
        ("x" * 256, "too long"),
        ("/".join(["x" * 250] * 9), "too long"),
    ],
)
def test_a_path_that_is_not_safe_is_refused(path: str, reason: str):
    with pytest.raises(DownloadError, match=reason):
        check_paths(named("config.json", path))


def test_a_file_cannot_be_a_folder_too_or_come_twice():
    with pytest.raises(DownloadError, match="as a file and as a folder"):
        check_paths(named("a/b/c", "a/b"))
    with pytest.raises(DownloadError, match="twice"):
        check_paths(named("a", "a"))


@given(st.lists(st.text(min_size=1), min_size=1))
def test_every_path_that_is_let_through_stays_below_the_folder(parts: list[str]):
    path = "/".join(parts)
    try:
        check_paths(named(path))
    except DownloadError:
        return
    assert not any(part in ("", ".", "..") for part in path.split("/"))
    assert "\0" not in path


def test_ordinary_paths_are_let_through():
    check_paths(named("config.json", ".gitattributes", "onnx/model.onnx", "onnx/model.onnx_data", "Qwen 2 (fp8).gguf"))


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a b", "x" * 129, "ä", "a\n"])
def test_a_name_that_is_no_single_component_is_refused(name: str):
    with pytest.raises(DownloadError, match="must match") as caught:
        checked_name(name)
    assert 400 == caught.value.status


def test_a_name_as_models_have_it_is_let_through():
    assert "DeepSeek-R1-Distill-Llama-8B_v1.0" == checked_name("DeepSeek-R1-Distill-Llama-8B_v1.0")
