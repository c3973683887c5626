"""The Hub, through its own client: revisions, folders, digests, tokens, refusals."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.downloader import DownloadError
from runtime.downloads.locations import parse
from runtime.downloads.sources.huggingface import repository_of
from tests.support.stores.bringing import PART, content, fetch, held, visible
from tests.support.stores.file_server import Site, file_server
from tests.support.stores.hub import add_model, commit

FILES = {"config.json": b"{}", "onnx/model.onnx": content(3, 2 * PART)}


@pytest.fixture
def hub() -> Iterator[Site]:
    with file_server(Site()) as served:
        add_model(served, "org/m", FILES)
        yield served


def fetch_model(hub: Site, folder: Path, uri: str = "huggingface://org/m", **options: object) -> Path:
    return fetch(uri, folder, "m", {"HF_ENDPOINT": f"{hub.url}/"}, **options)


@pytest.mark.parametrize(
    ("uri", "repository", "path", "revision"),
    [
        ("hf://org/m", "org/m", "", ""),
        ("hf://org/m/", "org/m", "", ""),
        ("hf://org/m@v1/a/b", "org/m", "a/b", "v1"),
        ("hf://org/m@refs%2Fpr%2F1", "org/m", "", "refs/pr/1"),
        ("hf://gpt2", "gpt2", "", ""),
        ("hf://gpt2@main/a", "gpt2", "a", "main"),
        ("org/m@v1", "org/m", "", "v1"),
    ],
)
def test_a_uri_names_repository_path_and_revision(uri: str, repository: str, path: str, revision: str):
    assert (repository, path, revision) == repository_of(parse(uri))


def test_files_are_of_one_commit_and_large_ones_come_from_elsewhere(hub: Site, tmp_path: Path):
    assert held(fetch_model(hub, tmp_path)) == FILES
    assert f"/org/m/resolve/{commit()}/config.json" in [path for path, _ in hub.seen]
    assert 2 * PART == hub.sent["/large/org/m/onnx/model.onnx"]


def test_a_folder_or_a_file_of_a_repository(hub: Site, tmp_path: Path):
    assert {"model.onnx": FILES["onnx/model.onnx"]} == held(fetch_model(hub, tmp_path / "a", "hf://org/m/onnx"))
    assert b"{}" == fetch_model(hub, tmp_path / "b", "hf://org/m@main/config.json").read_bytes()
    with pytest.raises(DownloadError, match="hf://org/m/none: there is no such file or folder"):
        fetch_model(hub, tmp_path, "hf://org/m/none")


def test_a_revision_in_the_uri_goes_before_the_variable(hub: Site, tmp_path: Path):
    add_model(hub, "org/m", {"config.json": b"1"}, "v1")
    add_model(hub, "org/m", {"config.json": b"2"}, "v2")

    assert {"config.json": b"2"} == held(fetch_model(hub, tmp_path, "hf://org/m@v2", hf_revision="v1"))
    asked = [path.partition("?")[0] for path, _ in hub.seen if path.startswith("/api")]
    assert ["/api/models/org/m/revision/v2"] == asked


def test_another_revision_of_the_variable_takes_the_place(hub: Site, tmp_path: Path):
    add_model(hub, "org/m", {"config.json": b"1"}, "v1")
    fetch_model(hub, tmp_path)

    assert {"config.json": b"1"} == held(fetch_model(hub, tmp_path, revision="v1"))


@pytest.mark.parametrize("name", ["config.json", "onnx/model.onnx"])
def test_a_file_that_arrives_wrong_is_found_by_its_digest(name: str, hub: Site, tmp_path: Path):
    [path] = [path for path in hub.files if path.endswith(name)]
    hub.files[path] = bytes(len(FILES[name]))

    with pytest.raises(DownloadError, match=f"{name}: arrived wrong, (git|sha256) "):
        fetch_model(hub, tmp_path)
    assert [] == visible(tmp_path)


def test_a_token_goes_to_the_hub(hub: Site, tmp_path: Path):
    hub.token = "hf_secret"

    fetch_model(hub, tmp_path, hf_token="hf_secret")

    assert {"Bearer hf_secret"} == {headers.get("authorization") for _, headers in hub.seen}


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        ((401, {"x-error-code": "RepoNotFound"}), 404, "no such repository, or it is private and the token is missing"),
        ((403, {"x-error-code": "GatedRepo"}), 403, "was given access"),
        ((404, {"x-error-code": "RevisionNotFound"}), 404, "has no revision main"),
        ((403, {}), 403, "the Hub refuses \\(HTTP 403\\)"),
        ((503, {}), 502, "the Hub refuses \\(HTTP 503\\)"),
    ],
)
def test_a_refusal_is_told_in_a_line(answer: object, status: int, reason: str, hub: Site, tmp_path: Path):
    hub.pages["/api/models/org/m/revision/main"] = answer

    with pytest.raises(DownloadError, match=f"^huggingface://org/m: .*{reason}[^\n]*$") as caught:
        fetch_model(hub, tmp_path, retries=0, hf_token="hf_secret")
    assert status == caught.value.status
    assert "secret" not in str(caught.value)


def test_a_hub_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(DownloadError, match="cannot reach the Hub"):
        fetch("hf://org/m", tmp_path, "m", {"HF_ENDPOINT": "http://127.0.0.1:9"}, retries=0)


def test_a_repository_with_a_bad_name_is_refused(hub: Site, tmp_path: Path):
    with pytest.raises(DownloadError, match="is not the name of a repository") as caught:
        fetch_model(hub, tmp_path, "hf://org/m--x..y")
    assert 400 == caught.value.status
