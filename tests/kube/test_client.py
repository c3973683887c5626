"""Calls that go wrong, and how they are made.  What a real server answers is in tests/contract/kube."""

from contextlib import aclosing
from pathlib import Path

import pytest
import structlog

from kube.client import Client, Timeouts, connection
from kube.errors import ApiError, Expired, Forbidden, NoWayError, Unreachable
from kube.objects import Event
from tests.support.kubernetes.conversation import Exchange, Request, answer
from tests.support.kubernetes.maps import CONFIG_MAPS, ConfigMap
from tests.support.kubernetes.script import (
    PATH,
    a_bookmark,
    a_kubeconfig,
    a_line,
    a_list,
    a_watch,
    an_error,
    an_item,
    talking,
    watch_request,
)
from tests.support.ports import free_address

GET = Request("GET", "/api/v1/namespaces/n/configmaps/a")


async def told(client: Client, version: str = "1") -> list[Event[ConfigMap]]:
    """All that a watch tells until it ends."""
    events: list[Event[ConfigMap]] = []
    async with aclosing(client.watch(CONFIG_MAPS, version)) as stream:
        async for some in stream:
            events.extend(some)
    return events


async def test_a_server_that_is_away_is_unreachable(tmp_path: Path):
    kubeconfig = a_kubeconfig(tmp_path, f"http://{free_address()}")

    async with Client(connection(kubeconfig), "forebay-test") as client:
        with pytest.raises(Unreachable):
            await client.get(CONFIG_MAPS, "a", "n")
        with pytest.raises(Unreachable):
            await told(client)


def test_without_a_kubeconfig_and_outside_of_a_pod_there_is_no_connection(tmp_path: Path):
    with pytest.raises(NoWayError, match="no kubeconfig is named, and this is no pod"):
        connection(None)
    with pytest.raises(NoWayError, match="absent not found"):
        connection(tmp_path / "absent")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is no kubeconfig"),
        ("a: [", "it is no kubeconfig"),
        ("- a", "it is no kubeconfig"),
        ("{}", "it lacks 'clusters'"),
        ("{current-context: c, clusters: [], users: [], contexts: []}", "Context 'c' not found"),
        (
            "{current-context: c, clusters: [], users: [], contexts: [{name: c, context: {cluster: k}}]}",
            "it lacks 'k'",
        ),
    ],
)
def test_what_is_no_kubeconfig_is_one_line(tmp_path: Path, text: str, why: str):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(text)

    with pytest.raises(NoWayError) as error:
        connection(kubeconfig)

    assert f"kubeconfig = {kubeconfig}: {why}" == str(error.value)


@pytest.mark.parametrize(
    ("exchange", "error"),
    [
        ((GET, answer("<html>", status=200)), Unreachable),
        ((GET, answer('{"data": 7}')), Unreachable),
        ((GET, answer("<html>Bad Gateway</html>", status=502)), ApiError),
        ((GET, answer('{"code": 403, "message": "no"}', status=403)), Forbidden),
    ],
)
async def test_every_failure_is_one_of_our_errors(exchange: Exchange, error: type[ApiError]):
    async with talking([exchange]) as (client, _):
        with pytest.raises(ApiError) as raised:
            await client.get(CONFIG_MAPS, "a", "n")

    assert error is type(raised.value)


async def test_a_server_that_says_nothing_is_unreachable():
    exchanges = [(GET, answer(is_open=True)), a_watch(1)]

    async with talking(exchanges, Timeouts(answer_s=0.05, silence_s=0.05)) as (client, _):
        with pytest.raises(Unreachable):
            await client.get(CONFIG_MAPS, "a", "n")
        with pytest.raises(Unreachable):
            await told(client)


async def test_lines_of_a_watch_may_be_cut_anywhere():
    lines = a_line("ADDED", an_item("a", 2, text="Zeile\u0085und\u2028weiter")) + a_bookmark(3)

    async with talking([a_watch(1, *lines, is_open=False)]) as (client, _):
        events = await told(client)

    assert [("ADDED", "2"), ("BOOKMARK", "3")] == [(event.type, event.version) for event in events]
    assert events[0].object is not None
    assert {"text": "Zeile\u0085und\u2028weiter"} == events[0].object.data


async def test_half_a_last_line_is_not_told():
    line = a_line("ADDED", an_item("a", 2))

    async with talking([a_watch(1, line, line[:20], is_open=False)]) as (client, _):
        assert 1 == len(await told(client))


async def test_what_is_no_line_ends_the_watch():
    async with talking([a_watch(1, "<html>\n", is_open=False)]) as (client, _):
        with pytest.raises(Unreachable):
            await told(client)


@pytest.mark.parametrize("watch", [a_watch(1, an_error(410, "Expired")), (watch_request(1), answer("{}", status=410))])
async def test_a_version_expires_at_the_start_and_in_the_middle(watch: Exchange):
    async with talking([watch]) as (client, _):
        with pytest.raises(Expired):
            await told(client)


async def test_an_object_that_does_not_fit_is_left_out_and_named():
    odd = an_item("odd", 3) | {"data": 7}
    exchanges = [a_list(2, an_item("a", 1), odd), a_watch(2, a_line("MODIFIED", odd), is_open=False)]

    async with talking(exchanges) as (client, _):
        with structlog.testing.capture_logs() as logs:
            objects, _ = await client.list(CONFIG_MAPS)
            events = await told(client, "2")

    assert ["a"] == [one.metadata.name for one in objects]
    assert [Event("MODIFIED", "3", "n/odd", None)] == events
    assert ["n/odd", "n/odd"] == [entry["key"] for entry in logs if entry["event"] == "kube_object_skipped"]


async def test_the_list_starts_again_when_its_rest_has_expired_is_for_the_caller():
    page = '{"items":[],"metadata":{"resourceVersion":"5","continue":"x"}}'
    exchanges = [
        (Request("GET", f"{PATH}?limit=500"), answer(page)),
        (Request("GET", f"{PATH}?limit=500&continue=x"), answer('{"code":410}', status=410)),
    ]

    async with talking(exchanges) as (client, _):
        with pytest.raises(Expired):
            await client.list(CONFIG_MAPS)
