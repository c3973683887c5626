from prometheus_client.parser import text_string_to_metric_families

from tests.support.engines import an_engine
from tests.support.own_engine import own_engine
from tests.support.sidecar import AWAY, a_runtime


def figures(page: str) -> dict[str, float]:
    """Every sample without labels, and the first of those with labels."""
    samples = [one for family in text_string_to_metric_families(page) for one in family.samples]
    return {one.name: one.value for one in reversed(samples)}


async def test_the_engines_page_is_passed_on_as_it_is_with_copies_and_our_own():
    async with an_engine() as (running, engine), a_runtime(running.url, engine_version="0.32") as client:
        theirs, ours = (await engine.get("/metrics")).text, (await client.get("/metrics")).text

    assert ours.startswith(theirs)
    found = figures(ours)
    assert (0, 1, 1) == (found["aibrix:queue_size"], found["aibrix:engine_up"], found["aibrix:info_info"])
    assert 0 <= found["aibrix:engine_scrape_age_seconds"] < 30
    assert 'aibrix:info_info{engine="vllm",engine_version="0.32",version="test"} 1.0' in ours


async def test_without_standard_names_there_are_no_copies():
    async with an_engine() as (running, _), a_runtime(running.url, has_standard_names=False) as client:
        found = figures((await client.get("/metrics")).text)

    assert "vllm:num_requests_waiting" in found
    assert not found.keys() & {"aibrix:queue_size", "aibrix:kv_cache_usage_perc"}


async def test_an_engine_that_is_away_leaves_our_own_figures_and_no_old_ones():
    with own_engine() as engine:
        engine.metrics = b"# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting 4\n"
        async with a_runtime(f"http://{engine.address}") as client:
            before = figures((await client.get("/metrics")).text)
            engine.metrics = b"{ no metrics"
            broken = figures((await client.get("/metrics")).text)
            engine.metrics = b"# TYPE x gauge\nx 1\n# EOF\n"
            after = await client.get("/metrics")

    assert (4, 4, 1) == (before["aibrix:queue_size"], before["vllm:num_requests_waiting"], before["aibrix:engine_up"])
    assert 0 == broken["aibrix:engine_up"]
    assert broken["aibrix:engine_scrape_age_seconds"] > 0
    assert not broken.keys() & {"aibrix:queue_size", "vllm:num_requests_waiting"}
    assert 1 == figures(after.text)["aibrix:engine_up"]
    assert "# EOF" not in after.text


async def test_an_engine_that_never_was_there_has_no_age():
    async with a_runtime(AWAY) as client:
        answer = await client.get("/metrics/")

    assert (200, "text/plain; version=0.0.4; charset=utf-8") == (answer.status_code, answer.headers["content-type"])
    assert 0 == figures(answer.text)["aibrix:engine_up"]
    assert "aibrix:engine_scrape_age_seconds" not in answer.text
