"""Settings: AIBrix's variables, options over them, and whose credentials go to whose endpoint."""

import pytest

from runtime.downloader import DownloadError
from runtime.downloads.settings import MIB, Settings, Variables, read_settings, variables_of


def read(**values: str) -> Settings:
    return read_settings(Variables({f"DOWNLOADER_{name}": text for name, text in values.items()}, has_machine=True))


def test_without_variables_the_defaults_are_aibrixs():
    assert Settings() == read()
    assert (32, 64 * MIB, 64 * MIB) == (read().num_threads, read().part_threshold, read().part_chunksize)


def test_every_variable_is_read():
    found = read(
        NUM_THREADS="16", PART_THRESHOLD="0", PART_CHUNKSIZE="1048576", ALLOW_FILE_SUFFIX="json, safetensors",
        FORCE_DOWNLOAD="1", CHECK_FILE_EXIST="false", VERIFY_CHECKSUM="no", RETRIES="0", TIMEOUT_S="2.5",
    )  # fmt: skip

    assert Settings(16, 0, MIB, ("json", "safetensors"), True, False, False, 0, 2.5) == found


def test_an_empty_variable_is_as_none():
    assert Settings() == read(NUM_THREADS="", ALLOW_FILE_SUFFIX=" ")


def test_all_that_cannot_be_used_is_named_at_once():
    with pytest.raises(DownloadError) as caught:
        read(NUM_THREADS="0", PART_CHUNKSIZE="0", FORCE_DOWNLOAD="maybe", TIMEOUT_S="inf", RETRIES="-1")

    assert [
        "DOWNLOADER_NUM_THREADS = 0, must be a whole number from 1 to 256",
        "DOWNLOADER_PART_CHUNKSIZE = 0, must be a whole number from 1 to 1125899906842624",
        "DOWNLOADER_FORCE_DOWNLOAD = maybe, must be 1 or 0",
        "DOWNLOADER_RETRIES = -1, must be a whole number from 0 to 100",
        "DOWNLOADER_TIMEOUT_S = inf, must be seconds, over 0 and up to 3600",
    ] == str(caught.value).split("; ")


def test_options_go_before_the_environment_under_either_name():
    environment = {"AWS_REGION": "a", "DOWNLOADER_NUM_THREADS": "1", "AWS_ACCESS_KEY_ID": "k"}
    options = {"region": "b", "num_threads": 2, "AWS_SESSION_TOKEN": "t", "allow_file_suffix": ["json", "txt"]}

    found = variables_of(environment, options, "s3", is_trusted=False)

    assert ("b", "k", "t") == (
        found.get("AWS_REGION"), found.get("AWS_ACCESS_KEY_ID"), found.get("AWS_SESSION_TOKEN"),
    )  # fmt: skip
    assert (2, ("json", "txt")) == (read_settings(found).num_threads, read_settings(found).allow_file_suffix)


@pytest.mark.parametrize(
    ("scheme", "name", "secret"),
    [
        ("hf", "hf_endpoint", "HF_TOKEN"),
        ("s3", "endpoint", "AWS_SECRET_ACCESS_KEY"),
        ("az", "endpoint", "AZURE_STORAGE_KEY"),
        ("az", "ak", "AZURE_STORAGE_SAS_TOKEN"),
    ],
)
def test_credentials_of_the_environment_do_not_go_to_an_endpoint_that_a_caller_names(
    scheme: str, name: str, secret: str
):
    environment = {secret: "secret"}

    foreign = variables_of(environment, {name: "http://elsewhere"}, scheme, is_trusted=False)
    trusted = variables_of(environment, {name: "http://elsewhere"}, scheme, is_trusted=True)

    assert ("", False) == (foreign.get(secret), foreign.has_machine)
    assert ("secret", True) == (trusted.get(secret), trusted.has_machine)


def test_an_endpoint_that_the_environment_names_too_is_not_a_callers():
    environment = {"HF_ENDPOINT": "http://mirror", "HF_TOKEN": "secret"}

    found = variables_of(environment, {"endpoint": "http://mirror"}, "hf", is_trusted=False)

    assert "secret" == found.get("HF_TOKEN")


def test_a_token_for_http_comes_from_options_only():
    assert "" == variables_of({"HTTP_TOKEN": "x"}, {}, "http", is_trusted=False).get("http_token")
    assert "t" == variables_of({}, {"token": "t"}, "http", is_trusted=False).get("http_token")
