"""Addresses: what is one, what is not, and what may be shown of it."""

import pytest

from gateway.config.addresses import (
    endpoint_address,
    http_path,
    is_loopback,
    reachable_address,
    redis_url,
    split_address,
    without_credentials,
)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("[::1]:0", "::1", 0),
        ("engine-0.default.svc:65535", "engine-0.default.svc", 65535),
    ],
)
def test_an_address_splits_into_host_and_port(address, host, port):
    assert (host, port) == split_address(address)


@pytest.mark.parametrize(
    "address",
    ["", "host", "host:", ":80", "host:65536", "host:-1", "::1:80", "[::1]", "[zz]:1", "[1.2]:1", "a b:1", "a:1\n"],
)
def test_anything_else_is_an_error_that_states_the_rule(address):
    with pytest.raises(ValueError, match="host:port"):
        split_address(address)


def test_an_endpoint_is_an_ip_with_a_real_port():
    assert endpoint_address("[fd00::2]:8000") == "[fd00::2]:8000"
    for address in ("engine:8000", "10.0.0.1:0"):
        with pytest.raises(ValueError, match="ip:port"):
            endpoint_address(address)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("gateway", False),
    ],
)
def test_loopback_is_told_from_the_rest(host, expected):
    assert expected == is_loopback(host)


def test_a_redis_url_needs_a_known_scheme_and_a_numeric_port():
    assert redis_url("rediss://:p@h:1/0") == "rediss://:p@h:1/0"
    with pytest.raises(ValueError, match="must start with redis://"):
        redis_url("http://h")
    with pytest.raises(ValueError, match="must have a port"):
        redis_url("redis://h:tcp://10.0.0.1:6379/0")


def test_credentials_are_hidden_and_nothing_else():
    assert without_credentials("redis://user:se@cret@h:1/0") == "redis://***@h:1/0"
    assert without_credentials("redis://h:1/0") == "redis://h:1/0"


def test_a_path_can_stand_in_a_request_line():
    assert http_path("/health?deep=1") == "/health?deep=1"
    for path in ("", "health", "/a b", "/a\r\nhost: b", "/\u00e4"):
        with pytest.raises(ValueError, match="must begin with / and hold no blanks"):
            http_path(path)


def test_a_listener_on_all_addresses_is_reached_on_loopback():
    assert reachable_address("0.0.0.0:80") == "127.0.0.1:80"
    assert reachable_address("[::]:80") == "[::1]:80"
    assert reachable_address("10.0.0.1:80") == "10.0.0.1:80"
