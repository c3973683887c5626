"""GET / on the users' listener, by a real Envoy without any gateway behind it."""

from pathlib import Path

import httpx

from tests.support.envoy import running_envoy, settings_for
from tests.support.ports import free_address


async def test_anybody_is_told_what_this_is_and_where_to_go_while_no_gateway_answers(tmp_path: Path):
    settings = settings_for([free_address()], {})
    async with running_envoy(settings, tmp_path) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        text = await client.get("/?a=b")
        answer = await client.get("/", headers={"accept": "text/html, application/json"})
        head = await client.head("/")
        post = await client.post("/")

    assert (200, "text/plain") == (text.status_code, text.headers["content-type"])
    assert text.text.startswith("This is Forebay, an LLM inference gateway.\n")
    assert (200, "application/json") == (answer.status_code, answer.headers["content-type"])
    assert all(f"  {path}" in text.text for path in answer.json()["paths"])
    assert (200, b"") == (head.status_code, head.content)
    assert 503 == post.status_code
