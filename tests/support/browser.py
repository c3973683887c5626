"""Chromium without a window, for pages that only a browser makes."""

import asyncio
import shutil

import pytest

CHROMIUM = shutil.which("chromium")
DEADLINE_S = 60.0
"""A busy machine takes seconds to start a browser."""
BUDGET_MS = 5000
"""How long the page may take by its own clock, which runs ahead while the page waits."""

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")


async def rendered(url: str, directory: object) -> str:
    """Return the page as markup after its scripts ran; `directory` takes the browser's profile."""
    options = (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        f"--user-data-dir={directory}", f"--virtual-time-budget={BUDGET_MS}", "--dump-dom",
    )  # fmt: skip
    browser = await asyncio.create_subprocess_exec(
        str(CHROMIUM), *options, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, _ = await browser.communicate()
    finally:
        if browser.returncode is None:
            browser.kill()
            await browser.wait()
    return out.decode()
