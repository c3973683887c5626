"""The measurement of scraping, on a small scale."""

import pytest

from bench.scraping import PAGE, measure_scraping
from gateway.config.settings import ScrapeSettings


async def test_scrapes_of_a_recorded_page_are_counted():
    figures = await measure_scraping(lambda _: None, 5, ScrapeSettings(interval_s=0.02))

    assert (PAGE.stat().st_size, 0.02) == (figures.page_bytes, figures.interval_s)
    assert figures.scrape_us > 0
    assert figures.core == pytest.approx(figures.scrape_us * 1000 / 0.02 / 1e6)
