"""The web console in a real browser, on a running `forebay up --console`; its pictures stay in the run's folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.browser import CHROMIUM, needs_chromium
from tests.support.stack import Stack, running_stack
from tests.support.waiting import until

pytestmark = [needs_chromium, pytest.mark.e2e, pytest.mark.timeout(240)]

PATIENCE_MS = 60_000.0
"""A busy machine takes seconds for what takes tenths."""
SCRIPT = "<img src=x onerror=document.title='run'>"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("console"), options=("--console",)) as running:
        until(lambda: any(line.startswith("console ") for line in running.lines), limit_s=60)
        for _ in range(5):
            assert 200 == running.chat(running.user(), max_tokens=5).status_code
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, stack: Stack, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a new session, of which a picture is kept; an error that the browser reports fails the test."""
    context = browser.new_context(base_url=stack.variables["CONSOLE"], viewport={"width": 1200, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE_MS)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    yield opened
    opened.screenshot(path=tmp_path / f"{request.node.name}.png")
    context.close()
    assert [] == errors


def see(page: Page, text: str) -> None:
    expect(page.get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)


def test_every_page_is_reached_from_the_first_one(page: Page):
    page.goto("")
    for title in ("Fleet", "Decisions", "Users and keys", "Waiting", "Try it", "Overview"):
        page.get_by_role("navigation").get_by_role("link", name=title).click()
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible(timeout=PATIENCE_MS)
    see(page, "Requests per second")
    see(page, "Models now")


def test_a_decision_is_explained_and_another_strategy_asked_in_three_clicks(page: Page, stack: Stack):
    page.goto("decisions")
    page.get_by_role("button", name="Why?").first.click()
    see(page, "forebay: the lowest score wins")
    page.get_by_label("Ask another strategy").first.click()
    page.get_by_role("option", name="least-request", exact=True).click()

    see(page, "least-request would choose")
    see(page, "least-request: the lowest score wins")


def test_a_pod_leads_to_its_own_decisions(page: Page, stack: Stack):
    page.goto("fleet")
    name = stack.processes("engine")[0]["name"]
    page.get_by_role("link", name=name).click()

    see(page, f"The latest decisions for {name} of one worker")


def test_a_user_is_made_limited_refused_and_revoked_in_the_browser_alone(page: Page, stack: Stack):
    page.goto("users")
    page.get_by_label("Name").fill("visitor")
    page.get_by_label("Requests per minute").fill("1")
    see(page, "User: visitor does not exist")
    page.get_by_role("button", name="Create", exact=True).click()
    see(page, "Created User: visitor")
    see(page, "It would be admitted now.")
    assert 200 == stack.chat("visitor", max_tokens=5).status_code

    see(page, "It would be refused by rpm = 1")
    page.get_by_role("button", name="Make a key").click()
    see(page, "It is shown only now")
    secret = page.locator("#key-secret").inner_text()
    assert secret.startswith("fby-")
    key_id = stack.admin("/users/visitor/keys").json()["keys"][0]["id"]
    page.get_by_label("Key to revoke").fill(key_id)
    page.get_by_role("button", name="Revoke").click()
    see(page, f"Revoked Key: {key_id}")
    assert secret not in page.content()
    page.get_by_role("button", name="Delete").click()
    see(page, "Deleted User: visitor")


def test_a_change_of_one_limit_leaves_the_others(page: Page, stack: Stack):
    assert 200 == stack.admin("/CreateUser", name="limited", rpm=5, tpm=700).status_code
    page.goto("users")
    page.get_by_label("Name").fill("limited")
    expect(page.get_by_label("Tokens per minute")).to_have_value("700", timeout=PATIENCE_MS)
    page.get_by_label("Requests per minute").fill("6")
    page.get_by_role("button", name="Change limits").click()
    see(page, "Updated User: limited")

    user = stack.admin("/ReadUser", name="limited").json()["user"]
    assert (6, 700) == (user["rpm"], user["tpm"])


def test_what_others_wrote_stays_text(page: Page, stack: Stack):
    assert 200 == stack.admin("/CreateUser", name=SCRIPT, rpm=1).status_code
    page.goto("users")

    see(page, SCRIPT)
    assert "run" != page.title()


def test_a_request_shows_its_way(page: Page, stack: Stack):
    page.goto("try")
    expect(page.get_by_label("Model")).to_have_value(stack.model, timeout=PATIENCE_MS)
    page.get_by_role("button", name="Send").click()

    see(page, "x-forebay-decision")
    see(page, "target-pod")
