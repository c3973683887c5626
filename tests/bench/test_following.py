"""The measurement of a set that follows a server, on a small scale."""

import msgspec

from bench.following import a_pod, measure_following
from gateway.discovery.pods import PODS


async def test_list_events_and_memory_are_measured():
    figures = await measure_following(lambda _: None, pods=600, paced=5, storm=20)

    assert 600 == figures.pods
    assert min(figures.list_s, figures.list_cpu_s, figures.paced_us, figures.storm_us, figures.core) > 0


def test_a_pod_is_as_large_as_a_real_one_and_little_of_it_is_kept():
    pod = PODS.decode(a_pod(7, 9))

    assert 7_000 < len(a_pod(7, 9)) < 9_000
    assert ("node-7", "10.0.0.7", "9") == (pod.spec.node_name, pod.status.ip, pod.metadata.resource_version)
    assert len(msgspec.json.encode(pod)) < 1_000
