"""The way to APIs in the cloud, as it is configured."""

import orjson

from gateway.config.settings import Settings
from gateway.discovery.models import described
from gateway.envoy.config import render


def rendered(**api: object) -> dict[str, object]:
    api = {"url": "https://api.test/v1", "key_env": "CLOUD_KEY", "models": {"big": "gpt", "small": "mini"}} | api
    pools = [{"name": "own", "priority": 0}, {"name": "cloud", "priority": 1, "api": api}]
    settings = Settings.model_validate({"pools": pools})
    return render(settings, described(settings))


def test_without_an_api_nothing_is_there_for_one():
    settings = Settings()

    config = orjson.dumps(render(settings, described(settings)))

    assert not [word for word in (b"internal_listener", b"secrets", b"retriable-headers", b"api-") if word in config]


def test_each_model_of_an_api_is_an_endpoint_inside_envoy_that_nothing_falls_back_to():
    static = rendered()["static_resources"]
    assert isinstance(static, dict)

    [endpoints] = [each["load_assignment"]["endpoints"] for each in static["clusters"] if each["name"] == "engines"]
    found = [(one["endpoint"]["address"], one["metadata"]["filter_metadata"]) for one in endpoints[0]["lb_endpoints"]]

    assert [
        (
            {"envoy_internal_address": {"server_listener_name": "api-cloud", "endpoint_id": number}},
            {"forebay": {"pod": "cloud", "pool": "cloud"}},
        )
        for number in ("0", "1")
    ] == found


def test_the_configuration_holds_the_place_of_the_key_and_the_name_that_a_certificate_must_have():
    config = orjson.dumps(rendered())

    assert (
        b'"secrets":[{"name":"api-cloud","generic_secret":{"secret":{"environment_variable":"CLOUD_KEY"}}}]' in config
    )
    assert b'"sni":"api.test"' in config
    assert b'{"san_type":"DNS","matcher":{"exact":"api.test"}}' in config


def test_an_api_at_an_ip_address_is_checked_by_that_address_and_needs_no_dns():
    config = orjson.dumps(rendered(url="https://10.0.0.1:8443", key_file="/etc/cloud.key", key_env=""))

    assert b'{"san_type":"IP_ADDRESS","matcher":{"exact":"10.0.0.1"}}' in config
    assert b'"sni"' not in config
    assert b"STRICT_DNS" not in config
    assert b'{"filename":"/etc/cloud.key"}' in config
