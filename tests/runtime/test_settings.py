from pathlib import Path

import pytest

from runtime.settings import Settings, SettingsError, read_settings


def test_an_empty_environment_is_a_vllm_beside():
    settings = read_settings({})

    assert ("vllm", "http://localhost:8000", "/metrics", 8000) == (
        settings.engine, settings.endpoint, settings.metrics_path, settings.port,
    )  # fmt: skip
    assert Settings() == settings


def test_the_environment_of_aibrix_is_read():
    settings = read_settings({
        "INFERENCE_ENGINE": "SGLang", "INFERENCE_ENGINE_VERSION": "0.5", "INFERENCE_ENGINE_ENDPOINT": "https://e/",
        "METRIC_SCRAPE_PATH": "prom", "DOWNLOADER_LOCAL_DIR": "/m", "ADAPTER_LOCAL_DIR": "/a",
        "INFERENCE_ENGINE_API_KEY": "k",
    })  # fmt: skip

    assert Settings("sglang", "0.5", "https://e", "k", "/prom", True, Path("/m"), Path("/a")) == settings
    assert 443 == settings.port


@pytest.mark.parametrize(
    ("name", "value", "copied"),
    [
        ("METRICS_ENABLE_TRANSFORMATION", "0", False),
        ("METRICS_ENABLE_TRANSFORMATION", "true", True),
        ("METRICS_RAW_PASSTHROUGH_MODE", "1", False),
        ("METRICS_RAW_PASSTHROUGH_MODE", "False", True),
    ],
)
def test_either_variable_switches_standard_names_off(name: str, value: str, copied: bool):
    assert copied is read_settings({name: value}).has_standard_names


def test_every_variable_that_cannot_be_used_is_named():
    with pytest.raises(SettingsError) as caught:
        read_settings({"INFERENCE_ENGINE_ENDPOINT": "localhost:8000", "METRICS_ENABLE_TRANSFORMATION": "maybe"})

    assert (
        "INFERENCE_ENGINE_ENDPOINT = localhost:8000, must be http://host:port or https://host:port",
        "METRICS_ENABLE_TRANSFORMATION = maybe, must be 1 or 0",
    ) == caught.value.problems


@pytest.mark.parametrize("url", ["http://", "ftp://e:1", "http://e:99999", "http://e:1?x=1", "http://[e"])
def test_an_address_of_another_form_is_a_problem(url: str):
    with pytest.raises(SettingsError):
        read_settings({"INFERENCE_ENGINE_ENDPOINT": url})
