import pytest

from gateway.envoy.messages import bind_address, connect_address, duration, split_address


def socket(host: str, port: int) -> dict[str, object]:
    return {"socket_address": {"address": host, "port_value": port}}


def test_ipv6_hosts_lose_their_brackets():
    assert split_address("[::1]:80") == ("::1", 80)


@pytest.mark.parametrize("wrong", ["", "127.0.0.1", ":80", "127.0.0.1:", "127.0.0.1:http"])
def test_what_is_not_host_and_port_is_refused_by_name(wrong: str):
    with pytest.raises(ValueError, match="must be host:port"):
        split_address(wrong)


def test_wildcards_are_bound_as_they_are_and_reached_on_loopback():
    assert socket("0.0.0.0", 80) == bind_address("0.0.0.0:80")
    assert socket("127.0.0.1", 80) == connect_address("0.0.0.0:80")
    assert socket("::1", 80) == connect_address("[::]:80")


def test_localhost_becomes_an_address_because_envoy_resolves_no_names_here():
    assert socket("127.0.0.1", 80) == bind_address("localhost:80") == connect_address("localhost:80")


def test_durations_keep_milliseconds():
    assert duration(0.25) == "0.250s"
