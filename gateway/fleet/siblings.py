"""Siblings: what this replica makes of what others tell about pods.

Lives here: counting their load, their prompts and their samples on the pods here.  Not here: what is told (outbox), who
is there and which messages are new (gateway.sharing), waiting requests (gateway.admission.queue).

Loads are kept by sibling and pod, so that each is replaced by the next one, and taken away with the sibling.  Pods that
are not known here may come to be, so their loads are kept while they have any.
"""

from array import array
from collections.abc import Mapping

from gateway.fleet.outbox import Outbox
from gateway.fleet.pod import Pod
from gateway.sharing.messages import BLOCK_SIZE, MAX_PODS, PodLoad, Prompt, Share
from routing.pods import speed
from routing.pods.load import NONE_IN_FLIGHT, InFlight
from routing.prefix.index import PrefixIndex
from routing.types import PodId

Loads = dict[PodId, InFlight]


class Siblings:
    """The other replicas, by what they told."""

    def __init__(self, outbox: Outbox, index: PrefixIndex, failing: set[Pod]) -> None:
        self._outbox = outbox
        self._index = index
        self._failing = failing  # the fleet's pods that have failed
        self._loads: dict[str, Loads] = {}  # by replica and pod, only those that have any

    def apply(self, share: Share, pods: Mapping[PodId, Pod], now_s: float) -> None:
        """Take over a message.  What it says of unknown pods, or of prompts hashed with another key, is ignored."""
        loads = self._loads.get(share.replica)
        if loads is None:
            loads = self._join(share.replica, now_s)
        _count_all(share, loads, pods, now_s)
        if share.prefix_key == self._outbox.prefix_key:
            for prompt in share.prompts:
                pod = pods.get(prompt.pod)
                if pod is not None:
                    self._cache(prompt, pod, now_s, is_news=not share.everything)
        _learn(share, pods, now_s)
        for proof in share.proofs:
            pod = pods.get(proof.pod)
            if pod is not None:
                pod.record_proof(proof.failures, proof.ejected_s, now_s)
                (self._failing.add if pod.failures else self._failing.discard)(pod)

    def forget(self, replica: str, pods: Mapping[PodId, Pod], now_s: float) -> None:
        """Take away the load of a replica that is gone."""
        loads = self._loads.pop(replica, {})
        for pod_id in list(loads):
            _count(loads, pods, pod_id, NONE_IN_FLIGHT, now_s)
        self._outbox.set_siblings(len(self._loads), now_s)

    def join_pod(self, pod: Pod, now_s: float) -> None:
        """Count on a new pod what the others have told of it."""
        for loads in self._loads.values():
            pod.count_elsewhere(NONE_IN_FLIGHT, loads.get(pod.endpoint.id, NONE_IN_FLIGHT), now_s)

    def _join(self, replica: str, now_s: float) -> Loads:
        loads = self._loads[replica] = {}
        self._outbox.set_siblings(len(self._loads), now_s)
        return loads

    def _cache(self, prompt: Prompt, pod: Pod, now_s: float, *, is_news: bool) -> None:
        """Enter a prompt into the pod's cache; one that is no news only if the cache lacks some of it."""
        blocks, cache = _unpacked(prompt.blocks), pod.cache
        if prompt.withdrawn:
            cache.withdraw_equal(blocks)
            return
        matched = self._index.match(blocks).blocks(cache.slot)
        if is_news:
            pod.set_block_tokens(prompt.block_tokens)
            self._index.reuse.observe(blocks, now_s)
        if is_news or matched < len(blocks):
            cache.insert(blocks, matched, now_s).is_own = False


def _count_all(share: Share, loads: Loads, pods: Mapping[PodId, Pod], now_s: float) -> None:
    """Take over the loads of a message; with everything, the pods that it does not mention have none."""
    if share.everything:
        mentioned = {load.pod for load in share.loads}
        for pod_id in [pod_id for pod_id in loads if pod_id not in mentioned]:
            _count(loads, pods, pod_id, NONE_IN_FLIGHT, now_s)
    for load in share.loads:
        _add_load(load, loads, pods, now_s, is_whole=share.everything)


def _add_load(load: PodLoad, loads: Loads, pods: Mapping[PodId, Pod], now_s: float, *, is_whole: bool) -> None:
    pod_id, requests, prefill, output, resident, sequences, sent, prefill_s, processed, share, wait_s = load
    _count(loads, pods, pod_id, InFlight(requests, prefill, output, resident, sequences, sent), now_s)
    pod = pods.get(pod_id)
    if pod is None:
        return
    if is_whole:
        pod.catch_up(prefill_s, wait_s or 0.0, now_s)
    else:
        pod.sent_elsewhere(prefill_s, processed, share, wait_s, now_s)


def _count(loads: Loads, pods: Mapping[PodId, Pod], pod_id: PodId, now: InFlight, now_s: float) -> None:
    """Replace what a sibling has in flight on a pod."""
    before = loads.get(pod_id, NONE_IN_FLIGHT)
    if now == before or (pod_id not in loads and len(loads) >= MAX_PODS):
        return
    if now == NONE_IN_FLIGHT:
        del loads[pod_id]
    else:
        loads[pod_id] = now
    pod = pods.get(pod_id)
    if pod is not None:
        pod.count_elsewhere(before, now, now_s)


def _learn(share: Share, pods: Mapping[PodId, Pod], now_s: float) -> None:
    for learned in share.learned:
        pod = pods.get(learned.pod)
        if pod is not None:
            pod.take_over_speed(speed.Learned(*learned[2:]), is_own=learned.is_own)
    for pod_id, uncached_tokens, output_tokens, duration_s, wait_s, cost in share.samples:
        pod = pods.get(pod_id)
        if pod is not None and duration_s > 0:
            pod.learn_latency(duration_s, cost)
            pod.learn_speed(uncached_tokens, output_tokens, duration_s, wait_s, now_s, is_selected=True)


def _unpacked(packed: bytes) -> "array[int]":
    return array("q", packed[: len(packed) // BLOCK_SIZE * BLOCK_SIZE])
