"""Addresses: what is one, what is not, and what may be shown of it."""

import pytest

from gateway.config.addresses import (
    endpoint_address,
    gateway_address,
    http_path,
    is_loopback,
    listen_address,
    overlap,
    reachable_address,
    redis_database,
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
    for address in ("engine:8000", "localhost:8000", "10.0.0.1:0", "10.0.0.1:70000", "10.0.0.1", "[fe80::1%lo]:1"):
        with pytest.raises(ValueError, match="ip:port"):
            endpoint_address(address)


def test_a_listener_has_an_ip_or_localhost_because_envoy_resolves_nothing():
    assert listen_address("localhost:80") == "localhost:80"
    for address in ("gateway:80", "localhost:0", "0.0.0.0:65536", "127.1:80", "::1:80"):
        with pytest.raises(ValueError, match="must be ip:port or localhost:port with a port of 1 to 65535"):
            listen_address(address)


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1:50052", "[fd00::2]:50052", "gateway:1", "gateway-0.forebay.svc.cluster.local.:50052", "1and1.de:1"],
)
def test_a_gateway_has_an_ip_or_a_name(address: str):
    assert address == gateway_address(address)


@pytest.mark.parametrize("address", ["gateway", "gateway:0", "256.1.1.1:80", "a_b:1", "-a:1", "[fe80::1%lo]:1", ":1"])
def test_what_envoy_cannot_resolve_is_no_gateway(address: str):
    with pytest.raises(ValueError, match="must be host:port with a port of 1 to 65535"):
        gateway_address(address)


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("[FD00:0:0::2]:08000", "[fd00::2]:8000"),
        ("[0:0:0:0:0:ffff:a00:1]:1", "[::ffff:10.0.0.1]:1"),
        ("10.0.0.1:00080", "10.0.0.1:80"),
    ],
)
def test_an_address_is_spelt_as_envoy_spells_it(address, written):
    assert written == endpoint_address(address) == listen_address(address)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("localhost:80", "127.0.0.1:80", True),
        ("0.0.0.0:80", "10.0.0.1:80", True),
        ("[::]:80", "127.0.0.1:80", True),
        ("[::1]:80", "127.0.0.1:80", False),
    ],
)
def test_listeners_overlap_when_they_would_take_the_same_connections(one, other, expected):
    assert expected == overlap(one, other) == overlap(other, one)


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
    for url in ("redis://h:tcp://10.0.0.1:6379/0", "redis://h:0", "redis://h:70000", "redis://:pa/ss@h"):
        with pytest.raises(ValueError, match="must have a port"):
            redis_url(url)


@pytest.mark.parametrize("url", ["redis://h", "redis://h/", "rediss://h:1/15", "redis://h?db=2", "unix:///run/r?db=1"])
def test_a_redis_database_is_a_number_or_left_out(url):
    assert redis_url(url) == url


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        *[(f"redis://h/{path}", "must end with a whole number") for path in ("x", "1/2", "-1", "1.5", "0 ", "1" * 10)],
        ("redis://h?db=x", "must have a whole number"),
        ("redis://h?db=", "must have a whole number"),
        ("redis://h?dbb=1", "no options but db"),
        ("redis://h?password=p", "no options but db"),
        ("redis://h/0#1", "no options but db"),
        ("redis://", "must name a host"),
        ("redis://:p@", "must name a host"),
        ("redis:///0", "must name a host"),
        ("unix://socket", "must have the path of a socket"),
    ],
)
def test_rubbish_in_a_redis_url_is_an_error_that_states_the_rule(url, rule):
    with pytest.raises(ValueError, match=rule):
        redis_url(url)


@pytest.mark.parametrize("url", ["redis://h:1", "redis://h:1/0", "redis://h?db=0", "unix:///r"])
def test_the_first_database_is_the_one_that_is_not_named(url):
    assert redis_database(url) == 0
    assert redis_database("redis://h/3") == redis_database("unix:///r?db=3") == 3


@pytest.mark.parametrize(
    "password", ["secret", "se@cret", "@secret", "secret@", "se/cret", "s?ecret#", "a/b@secret", "x://y@secret"]
)
def test_a_password_is_hidden_whatever_is_in_it(password):
    assert without_credentials(f"redis://user:{password}@h:1/0") == "redis://***@h:1/0"


def test_nothing_else_is_hidden_and_a_password_among_the_options_is():
    assert without_credentials("redis://h:1/0") == "redis://h:1/0"
    assert without_credentials("redis://h:1/0?password=secret&db=1") == "redis://h:1/0?password=***&db=1"


def test_a_path_can_stand_in_a_request_line():
    assert http_path("/health?deep=1") == "/health?deep=1"
    for path in ("", "health", "/a b", "/a\r\nhost: b", "/\u00e4"):
        with pytest.raises(ValueError, match="must begin with / and hold no blanks"):
            http_path(path)


def test_a_listener_on_all_addresses_is_reached_on_loopback():
    assert reachable_address("0.0.0.0:80") == "127.0.0.1:80"
    assert reachable_address("[::]:80") == "[::1]:80"
    assert reachable_address("10.0.0.1:80") == "10.0.0.1:80"
