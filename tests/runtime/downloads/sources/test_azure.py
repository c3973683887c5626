"""Azure, on Azurite: blobs and folders, MD5s, keys, tokens and connection strings, refusals."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.downloader import DownloadError
from runtime.downloads.settings import Variables
from runtime.downloads.sources.azure import Account, connection_of
from tests.support.stores.azure import ABSENT, ACCOUNT, CONTAINER, KEY, VARIABLE, Store, azure_store
from tests.support.stores.bringing import PART, content, fetch, held, visible
from tests.support.stores.file_server import Site, file_server

FILES = {"config.json": b"{}", "a/large.bin": content(6, 3 * PART + 5), "empty": b""}
needs_azurite = pytest.mark.skipif(VARIABLE not in os.environ, reason=ABSENT)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with azure_store() as served:
        for name, data in FILES.items():
            served.put(f"m/{name}", data)
        served.put("mm/other", b"x")
        yield served


@needs_azurite
@pytest.mark.parametrize("uri", [f"az://{CONTAINER}/m", f"azure://{CONTAINER}/m/"])
def test_a_folder_is_all_names_below_it(uri: str, store: Store, tmp_path: Path):
    assert held(fetch(uri, tmp_path, "m", store.variables)) == FILES


@needs_azurite
def test_a_blob_is_a_file(store: Store, tmp_path: Path):
    text = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={store.url};"

    path = fetch(f"az://{CONTAINER}/m/config.json", tmp_path, "m", {"AZURE_STORAGE_CONNECTION_STRING": text})

    assert b"{}" == path.read_bytes()


@needs_azurite
@pytest.mark.parametrize("uri", [f"az://{CONTAINER}/none", "az://none/m"])
def test_nothing_there_is_404(uri: str, store: Store, tmp_path: Path):
    with pytest.raises(DownloadError, match=f"^{uri}: ") as caught:
        fetch(uri, tmp_path, "m", store.variables)
    assert 404 == caught.value.status


@needs_azurite
def test_refused_credentials_are_told_and_not_shown(store: Store, tmp_path: Path):
    wrong = base64.b64encode(b"wrong key").decode()

    with pytest.raises(DownloadError, match="refuses these credentials") as caught:
        fetch(f"az://{CONTAINER}/m", tmp_path, "m", {**store.variables, "AZURE_STORAGE_ACCOUNT_KEY": wrong})
    assert 403 == caught.value.status
    assert wrong not in str(caught.value)


def test_a_token_is_sent_and_the_md5_of_the_blob_compared(tmp_path: Path):
    with file_server(Site({"/models/m/f": b"abc"})) as site:
        variables = {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ENDPOINT": site.url}
        site.headers["/models/m/f"] = {
            "x-ms-blob-content-md5": base64.b64encode(bytes(16)).decode(),
            "last-modified": "Mon, 30 Nov 2026 20:00:00 GMT",
        }

        with pytest.raises(DownloadError, match=f"f: arrived wrong, md5 .*, not {'0' * 32}"):
            fetch("az://models/m/f", tmp_path, "m", variables, token="?sig=secret")
        assert [] == visible(tmp_path)
        assert {"sig=secret"} == {path.partition("?")[2] for path, _ in site.seen}


@needs_azurite
def test_a_name_that_cannot_be_signed_is_told(store: Store, tmp_path: Path):
    store.put("spaced/a b", b"x")

    with pytest.raises(DownloadError, match="'a b' is a name that only AZURE_STORAGE_SAS_TOKEN can fetch"):
        fetch(f"az://{CONTAINER}/spaced", tmp_path, "m", store.variables)


def test_without_an_account_it_says_what_is_missing(tmp_path: Path):
    with pytest.raises(DownloadError, match="AZURE_STORAGE_ACCOUNT_NAME is not set"):
        fetch("az://models/m", tmp_path)


def test_a_key_that_is_none_is_told(tmp_path: Path):
    variables = {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "no base64"}

    with pytest.raises(DownloadError, match="the account, its key or its endpoint cannot be used"):
        fetch("az://models/m", tmp_path, "m", variables)


def test_a_store_that_is_not_there_is_told(tmp_path: Path):
    variables = {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ENDPOINT": "http://127.0.0.1:9"}

    with pytest.raises(DownloadError, match="az://models/m: the store does not answer"):
        fetch("az://models/m", tmp_path, "m", {**variables, "AZURE_STORAGE_ACCOUNT_KEY": KEY}, retries=0)


def test_without_credentials_nothing_is_signed():
    account = Account(Variables({"AZURE_STORAGE_ACCOUNT_NAME": "a"}, has_machine=False))

    assert (False, "", "https://a.blob.core.windows.net") == (account.needs_signature, account.token, account.url)


def test_the_parts_of_a_connection_string():
    assert {"accountname": "a", "accountkey": "a2V5=="} == connection_of("AccountName=a; AccountKey=a2V5==;;")
