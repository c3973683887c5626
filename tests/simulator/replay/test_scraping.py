from math import inf

from simulator.replay.scraping import AllSeeing, Scraping


def scraping(interval_s: float = 2.0) -> tuple[Scraping, list[tuple[str, float]]]:
    asked: list[tuple[str, float]] = []
    return Scraping(["a", "b"], [lambda *turn: asked.append(turn)], interval_s), asked


def test_engines_are_scraped_one_after_the_other():
    turns, asked = scraping()
    turns.advance(0.9, ())
    turns.advance(4.0, ())

    assert [("a", 1.0), ("b", 2.0), ("a", 3.0), ("b", 4.0)] == asked


def test_an_engine_in_a_pass_is_scraped_once_at_its_end():
    turns, asked = scraping()
    turns.advance(3.5, {"a"})
    turns.end_pass("b", 3.6)
    turns.end_pass("a", 3.7)
    turns.end_pass("a", 3.8)

    assert [("b", 2.0), ("a", 3.7)] == asked


def test_without_an_interval_no_engine_is_scraped():
    turns, asked = scraping(inf)
    turns.advance(1e9, ())
    turns.before_decision(1e9)

    assert [] == asked


def test_all_seeing_scrapes_all_engines_before_every_decision():
    asked: list[tuple[str, float]] = []
    turns = AllSeeing(["a", "b"], [lambda *turn: asked.append(turn)])
    turns.advance(5.0, ())
    turns.before_decision(5.0)

    assert [("a", 5.0), ("b", 5.0)] == asked


def test_a_pod_that_joins_is_scraped_at_once_and_one_that_left_no_more():
    turns, asked = scraping()
    turns.advance(2.0, ())
    turns.replace(["b", "c"], 2.5)
    turns.advance(4.5, ())

    assert [("a", 1.0), ("b", 2.0), ("c", 2.5), ("b", 4.0), ("c", 4.5)] == asked


def test_the_next_scrape_is_known():
    turns, _ = scraping()

    assert 1.0 == turns.next_s
    turns.advance(1.0, ())
    assert (2.0, inf) == (turns.next_s, Scraping((), [], 2.0).next_s)
