"""Requests over HTTP: what answers mean, what is tried again, and what is never shown."""

import random
import socket
import threading
from collections.abc import Iterator

import pytest

from runtime.downloader import DownloadError
from runtime.downloads.files import Address
from runtime.downloads.settings import Settings
from runtime.downloads.transfer import PassingError, Retrying, Transfer
from tests.support.ports import free_address
from tests.support.stores.file_server import Cut, Site, file_server


@pytest.fixture
def site() -> Iterator[Site]:
    with file_server(Site({"/f": b"0123456789"})) as served:
        yield served


@pytest.fixture
def transfer() -> Iterator[Transfer]:
    made = Transfer(Settings(timeout_s=0.5))
    yield made
    made.close()


def read(transfer: Transfer, url: str, start: int = 0, end: int | None = None, **headers: str) -> bytes:
    with transfer.answer(Address(url, headers), start, end) as response:
        return b"".join(transfer.blocks(response, url))


def test_a_range_is_what_was_asked_for(site: Site, transfer: Transfer):
    assert b"0123456789" == read(transfer, site.url + "/f")
    assert b"2345" == read(transfer, site.url + "/f", 2, 6)
    assert b"6789" == read(transfer, site.url + "/f", 6)


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (401, 401, "wants credentials"),
        (403, 403, "refuses these credentials"),
        (404, 404, "no such file"),
        (410, 404, "gone"),
        (412, 502, "changed at the source"),
        (418, 502, "the source refuses"),
    ],
)
def test_a_refusal_is_final_and_says_why(sent: int, status: int, reason: str, site: Site, transfer: Transfer):
    site.fail("/f", sent)

    with pytest.raises(DownloadError, match=rf"/f: .*{reason}.* \(HTTP {sent}\)") as caught:
        read(transfer, site.url + "/f?signature=secret")
    assert status == caught.value.status
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("sent", [408, 429, 500, 503, 504])
def test_a_failure_that_passes_is_told_apart(sent: int, site: Site, transfer: Transfer):
    site.fail("/f", sent)

    with pytest.raises(PassingError) as caught:
        read(transfer, site.url + "/f")
    assert f"(HTTP {sent})" in str(caught.value.error)


def test_an_answer_that_breaks_off_passes(site: Site, transfer: Transfer):
    site.fail("/f", Cut(4))

    with pytest.raises(PassingError, match="the connection broke off"):
        read(transfer, site.url + "/f")


def test_a_server_that_is_not_there_passes(transfer: Transfer):
    with pytest.raises(PassingError, match="cannot connect"):
        read(transfer, f"http://{free_address()}/f")


def test_a_server_that_says_nothing_passes(transfer: Transfer):
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(PassingError, match="no answer in time"):
        read(transfer, f"http://127.0.0.1:{silent.getsockname()[1]}/f")


def test_redirects_are_followed_and_endless_ones_are_not(site: Site, transfer: Transfer):
    site.redirects |= {"/a": "/b", "/b": "/f", "/loop": "/loop", "/ftp": "ftp://host/f"}

    assert b"0123456789" == read(transfer, site.url + "/a")
    with pytest.raises(DownloadError, match="/loop: more than 10 redirects"):
        read(transfer, site.url + "/loop")
    with pytest.raises(DownloadError, match="not HTTP"):
        read(transfer, site.url + "/ftp")


def test_a_token_does_not_follow_a_redirect_to_another_host(site: Site, transfer: Transfer):
    with file_server(Site({"/f": b"x"})) as other:
        site.redirects["/a"] = f"http://localhost:{other.url.rpartition(':')[2]}/f"

        read(transfer, site.url + "/a", authorization="Bearer secret")

        assert "Bearer secret" == site.seen[0][1]["authorization"]
        assert "authorization" not in other.seen[0][1]


class Failing:
    """Fails so many times, and moves on each time where told to."""

    def __init__(self, failures: int, *, moves: bool = False, asked_s: float = 0.0) -> None:
        self.left = failures
        self.asked_s = asked_s
        self.moves = moves
        self.position = 0

    def __call__(self) -> str:
        if self.left == 0:
            return "done"
        self.left -= 1
        self.position += self.moves
        raise PassingError(DownloadError("again"), self.asked_s)


class Impatient(threading.Event):
    """An event that keeps how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return False


def retrying(stop: threading.Event, retries: int = 3) -> Retrying:
    return Retrying(retries, stop, random.Random(1))


def test_what_passes_is_tried_again_with_pauses_that_grow():
    stop = Impatient()

    assert "done" == retrying(stop).call(Failing(3))

    bounds = [(0.25, 0.5), (0.5, 1.0), (1.0, 2.0)]
    assert all(low <= wait <= high for wait, (low, high) in zip(stop.waits, bounds, strict=True))


def test_it_is_tried_so_often_in_a_row():
    with pytest.raises(DownloadError, match="again"):
        retrying(Impatient()).call(Failing(4))


def test_progress_begins_the_count_anew():
    failing = Failing(20, moves=True)

    assert "done" == retrying(Impatient(), 1).call(failing, lambda: failing.position)


def test_a_pause_that_the_source_asks_for_is_made_but_not_a_long_one():
    for asked, longest in ((5.0, 5.0), (3600.0, 30.0)):
        stop = Impatient()
        with pytest.raises(DownloadError):
            retrying(stop, 1).call(Failing(2, asked_s=asked))
        assert [longest] == stop.waits


def test_what_was_stopped_is_not_tried():
    stop = threading.Event()
    stop.set()

    with pytest.raises(DownloadError, match="stopped"):
        retrying(stop).call(Failing(0))
