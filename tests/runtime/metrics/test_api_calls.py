from prometheus_client.core import Metric

from runtime.metrics.api_calls import ApiCalls, Call

LOAD = Call("POST", "/v1/lora_adapter/load", "200")
READY = Call("GET", "/ready", "503")


def samples(families: list[Metric]) -> dict[tuple[str, str, str], float]:
    found = (sample for family in families for sample in family.samples)
    return {(one.name, one.labels["endpoint"], one.labels.get("le", "")): one.value for one in found}


def test_calls_are_counted_by_kind_with_their_times():
    calls = ApiCalls()
    for call, seconds in ((LOAD, 0.3), (LOAD, 0.5), (LOAD, 99.0), (READY, 0.001)):
        calls.add(call, seconds)

    found = samples(list(calls.collect()))

    total, latency = "aibrix:api_request_total", "aibrix:api_request_latency"
    assert 3 == found[total, LOAD.endpoint, ""]
    assert 1 == found[total, READY.endpoint, ""]
    of_load = (f"{latency}_bucket", LOAD.endpoint)
    at = {le: value for (name, endpoint, le), value in found.items() if (name, endpoint) == of_load}
    assert (0, 2, 2, 3) == (at["0.25"], at["0.5"], at["30.0"], at["+Inf"])
    assert 99.8 == found[f"{latency}_sum", LOAD.endpoint, ""]
    assert 3 == found[f"{latency}_count", LOAD.endpoint, ""]


def test_nothing_was_called_yet():
    assert {} == samples(list(ApiCalls().collect()))
