"""The shapes that a configuration is made of."""

from gateway.envoy.messages import bind_address, connect_address, duration


def socket(host: str, port: int) -> dict[str, object]:
    return {"socket_address": {"address": host, "port_value": port}}


def test_wildcards_are_bound_as_they_are_and_reached_on_loopback():
    assert socket("0.0.0.0", 80) == bind_address("0.0.0.0:80")
    assert socket("127.0.0.1", 80) == connect_address("0.0.0.0:80")
    assert socket("::1", 80) == connect_address("[::]:80")


def test_localhost_becomes_an_address_because_envoy_resolves_no_names_here():
    assert socket("127.0.0.1", 80) == bind_address("localhost:80") == connect_address("localhost:80")


def test_durations_keep_milliseconds():
    assert duration(0.25) == "0.250s"
