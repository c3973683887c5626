"""The section `api` of a pool."""

import pytest
from pydantic import ValidationError

from gateway.config.apis import ApiSettings


def an_api(**changes: object) -> ApiSettings:
    return ApiSettings.model_validate({"url": "https://api.test/v1", "models": {"big": "gpt"}} | changes)


def test_a_url_says_address_and_prefix():
    apis = [an_api(url=url) for url in ("https://api.test/v1/", "https://api.test:8443", "https://10.0.0.1/a/b")]

    assert [("api.test:443", "/v1"), ("api.test:8443", ""), ("10.0.0.1:443", "/a/b")] == [
        (api.address, api.prefix) for api in apis
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "http://api.test/v1"},
        {"url": "https://"},
        {"url": "https://user:secret@api.test/v1"},
        {"url": "https://api.test/v1?key=secret"},
        {"url": "https://api.test:0/v1"},
        {"url": "https://api.test:70000/v1"},
        {"url": "https://api test/v1"},
        {"models": {}},
        {"models": {"big": ""}},
        {"key_env": "NOT A NAME"},
        {"rpm": 0},
        {"tpm": 1.5},
        {"cost_day": 0},
        {"cost_day": float("nan")},
        {"key": "sk-in-the-file"},
    ],
)
def test_what_no_api_could_have_is_refused(changes: dict[str, object]):
    with pytest.raises(ValidationError):
        an_api(**changes)
