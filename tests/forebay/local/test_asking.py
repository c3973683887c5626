import pytest

from forebay.local import asking
from forebay.local.asking import NoAnswerError, ask
from tests.support.metrics_pages import metrics_pages
from tests.support.ports import free_port


async def test_an_answer_is_returned_with_its_status():
    async with metrics_pages() as pages:
        pages.show("page", "/some?where", status=418)

        assert (418, b"page") == await ask(f"127.0.0.1:{pages.port}", "/some?where")


async def test_what_is_in_the_way_is_said_in_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asking, "TIMEOUT_S", 0.05)
    port = free_port()
    async with metrics_pages() as pages:
        pages.show(None, "/never")
        with pytest.raises(NoAnswerError, match=f"^127.0.0.1:{pages.port} gives no answer in 0.05 s$"):
            await ask(f"127.0.0.1:{pages.port}", "/never")
    with pytest.raises(NoAnswerError, match=f"^127.0.0.1:{port} cannot be reached: connection refused$"):
        await ask(f"127.0.0.1:{port}", "/")
