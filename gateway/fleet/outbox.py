"""The outbox: what this replica will tell the others in its next message.

Lives here: collecting what changed, and putting messages together.  Not here: sending (gateway.sharing), what others
make of it (siblings, gateway.admission.queue).

The fleet and the admission queue write into it as they act; with no sibling to read it nothing is collected.  What is
read when a message is put together (loads, proofs, counters) is only noted as changed.
"""

from collections.abc import Callable, Mapping
from itertools import islice

from gateway.fleet.pod import Pod
from gateway.sharing.messages import (
    BLOCK_SIZE,
    MAX_BLOCKS,
    MAX_PODS,
    MAX_TOLD,
    MAX_USERS,
    Learned,
    PodLoad,
    Prompt,
    Proof,
    Sample,
    Share,
    Waiting,
)
from routing.pods.load import NONE_IN_FLIGHT, Work
from routing.pods.speed import LEARN_ALL_UNTIL, LEARN_ONE_IN
from routing.prefix.blocks import key_digest
from routing.prefix.index import Record
from routing.types import PodId

MAX_PENDING = 4096
"""Prompts, withdrawals or samples that wait to be told at most: beyond these, others do without (chosen: far above a
tenth of a second's requests, for a Redis that is slow)."""
MAX_TOLD_BLOCKS = 16_384
"""Blocks of prompts in a message with news, if it has more than one prompt, and of the latest that are told a newcomer
(chosen: 128 KiB, which a replica takes in some 10 ms)."""


def _nobody_waits() -> None:
    """Nobody waits for news."""


class Outbox:
    """The news of the replica with this name.  `on_news` is called when there is some that should be told at once."""

    def __init__(self, replica: str, on_news: Callable[[], None] = _nobody_waits) -> None:
        self.replica = replica
        self._on_news = on_news
        self.siblings = 0
        """Number of replicas that this one hears of, and so hear it."""
        self.prefix_key = key_digest(0)
        """Digest of the key of block hashes."""
        self.pods: Mapping[PodId, Pod] = {}
        """All pods; the fleet sets it."""
        self.counters: dict[str, dict[str, float]] = {}
        """The counters that order waiting users, by model and user; the admission queue enters its own."""
        self.waiting: dict[str, tuple[dict[str, float], dict[str, float]]] = {}
        """Seconds of work that wait here, by model and user."""
        self.has_waiting_siblings = False
        """Whether requests wait at another replica; the admission queue sets it."""
        self._changed: dict[Pod, None] = {}  # an ordered set
        self._prompts: dict[Record, Prompt] = {}
        self._withdrawn: list[Prompt] = []
        self._samples: list[Sample] = []
        self._samples_seen = 0
        self._proven: dict[Pod, None] = {}
        self._charged: dict[str, dict[str, float]] = {}
        self._served: dict[str, float] = {}
        self._waiting_changed: dict[str, None] = {}

    @property
    def is_urgent(self) -> bool:
        """Whether requests wait, here or elsewhere, and something changed that bears on who is next."""
        if self._waiting_changed:
            return True
        return bool(self._changed or self._charged) and (self.has_waiting_siblings or bool(self.waiting))

    def set_siblings(self, siblings: int, now_s: float) -> None:
        """Set how many there are.  Collecting begins with the first; what was before is told by `everything`."""
        if not self.siblings or not siblings:
            while self.take(now_s) is not None:
                pass  # there may be more than one message
            for pod in self.pods.values():
                pod.take_news(now_s)
        self.siblings = siblings

    def load(self, pod: Pod) -> None:
        """Note that the load of a pod changed."""
        if self.siblings:
            if not self._changed:
                self._on_news()
            self._changed[pod] = None

    def prompt(self, pod: Pod, record: Record | None, block_tokens: float) -> None:
        """Note that a prompt was sent to a pod."""
        if self.siblings and record is not None and len(self._prompts) < MAX_PENDING:
            self._prompts[record] = Prompt(pod.endpoint.id, _packed(record), block_tokens)

    def withdrawal(self, pod: Pod, record: Record) -> None:
        """Note that a pod did not compute a prompt, before its record is withdrawn from the pod's cache."""
        if self.siblings and self._prompts.pop(record, None) is None and len(self._withdrawn) < MAX_PENDING:
            self._withdrawn.append(Prompt(pod.endpoint.id, _packed(record), 0.0, withdrawn=True))

    def sample(self, pod: Pod, work: Work, outputs: int, duration_s: float, cost: float) -> None:
        """Note a request from which pods learn.

        Once much is known, one in as many as there are replicas, times the share that a replica learns from of its own:
        so learning from others takes no more than from its own.
        """
        if not self.siblings:
            return
        self._samples_seen += 1
        is_warm = pod.speed.requests > LEARN_ALL_UNTIL
        if is_warm and self._samples_seen % (LEARN_ONE_IN * (self.siblings + 1)):
            return
        if len(self._samples) < MAX_PENDING:
            self._samples.append(Sample(pod.endpoint.id, work.uncached_tokens, outputs, duration_s, work.wait_s, cost))

    def proof(self, pod: Pod) -> None:
        """Note that a pod failed, or works again."""
        if self.siblings:
            self._on_news()
            self._proven[pod] = None

    def charge(self, model: str, user: str, tokens: float) -> None:
        """Note service that was added to the counter that orders waiting users; negative: it was less than expected."""
        if self.siblings:
            users = self._charged.get(model)
            if users is None:
                users = self._charged[model] = {}
            _add(users, user, tokens)

    def serve(self, user: str, tokens: float) -> None:
        """Note the weighted tokens of a request that a pod computed."""
        if self.siblings:
            _add(self._served, user, tokens)

    def wait(self, model: str, work_s: dict[str, float], best_effort_s: dict[str, float]) -> None:
        """Note the seconds of work that wait here, by user, with a promise and without; empty = none wait any more."""
        if work_s or best_effort_s:
            self.waiting[model] = (work_s, best_effort_s)
        elif self.waiting.pop(model, None) is None:
            return
        if self.siblings:
            self._on_news()
            self._waiting_changed[model] = None

    def take(self, now_s: float) -> Share | None:
        """Return what changed since the last call, without a serial number; None when nothing did.

        Of many prompts and samples it has the first; the next call returns the others.
        """
        if not (
            self._changed or self._prompts or self._withdrawn or self._samples or self._proven or self._charged
            or self._served or self._waiting_changed
        ):  # fmt: skip
            return None
        samples = self._samples[:MAX_TOLD]
        share = Share(
            self.replica,
            0,
            self.prefix_key,
            loads=[_news(pod, now_s) for pod in islice(self._changed, MAX_PODS) if self._is_counted(pod)],
            prompts=self._prompts_to_tell(),
            samples=samples,
            proofs=[_proof(pod, now_s) for pod in islice(self._proven, MAX_PODS)],
            charged=self._charged,
            served=self._served,
            waiting=[self._waiting(model) for model in islice(self._waiting_changed, MAX_USERS)],
        )
        self._changed, self._samples = {}, self._samples[MAX_TOLD:]
        self._proven, self._charged, self._served, self._waiting_changed = {}, {}, {}, {}
        return share

    def everything(self, now_s: float) -> Share:
        """Return all that a replica needs which knows nothing of this one, as it was told with the last `take`."""
        pods = [pod for pod in islice(self.pods.values(), MAX_PODS) if pod.sent]
        return Share(
            self.replica,
            0,
            self.prefix_key,
            everything=True,
            loads=[_whole(pod, now_s) for pod in pods],
            prompts=self._latest_prompts(),
            proofs=[_proof(pod, now_s) for pod in islice(self.pods.values(), MAX_PODS) if pod.failures],
            charged={model: self._counters(model) for model in islice(self.counters, MAX_USERS)},
            waiting=[self._waiting(model) for model in islice(self.waiting, MAX_USERS)],
            learned=self._learned()[:MAX_PODS],
        )

    def _learned(self) -> list[Learned]:
        """Return the speed of each kind of pods, and then of each pod that differs from its kind."""
        kinds = {pod.kind: pod.endpoint.id for pod in self.pods.values() if pod.kind.requests}
        different = {pod.speed: pod.endpoint.id for pod in self.pods.values() if pod.speed is not pod.kind}
        return [
            Learned(pod_id, is_own, *speed.learned())
            for is_own, speeds in ((False, kinds), (True, different))
            for speed, pod_id in speeds.items()
        ]

    def _prompts_to_tell(self) -> list[Prompt]:
        """Take the oldest prompts out of those that wait, and when all are told the withdrawals of told ones."""
        told: list[Prompt] = []
        left = MAX_TOLD_BLOCKS
        for record, prompt in list(islice(self._prompts.items(), MAX_TOLD)):
            left -= len(prompt.blocks) // BLOCK_SIZE
            if told and left < 0:
                return told
            told.append(self._prompts.pop(record))
        room = MAX_TOLD - len(told)
        told += self._withdrawn[:room]
        self._withdrawn = self._withdrawn[room:]
        return told

    def _is_counted(self, pod: Pod) -> bool:
        """Whether the pod is the one that others know by its id, as far as is known here."""
        return not pod.gone or pod.endpoint.id not in self.pods

    def _waiting(self, model: str) -> Waiting:
        orders = self.waiting.get(model, ({}, {}))
        return Waiting(model, *[dict(islice(users.items(), MAX_USERS)) for users in orders])

    def _counters(self, model: str) -> dict[str, float]:
        """Return the counters of the users that were charged last, less what the next message will tell."""
        untold = self._charged.get(model, {})
        counters = self.counters[model]
        return {user: counters[user] - untold.get(user, 0.0) for user in islice(reversed(counters), MAX_USERS)}

    def _latest_prompts(self) -> list[Prompt]:
        """Return the latest prompts of every pod, the oldest first, with MAX_TOLD_BLOCKS blocks at most."""
        prompts: list[Prompt] = []
        for pod in self.pods.values():
            left = MAX_TOLD_BLOCKS // len(self.pods)
            latest: list[Prompt] = []
            for record in pod.cache.latest():
                left -= len(record.blocks)
                if left < 0:
                    break
                latest.append(Prompt(pod.endpoint.id, _packed(record), 0.0))
            prompts += reversed(latest)
        return prompts[:MAX_PODS]


def _packed(record: Record) -> bytes:
    return record.blocks.tobytes()[: BLOCK_SIZE * MAX_BLOCKS]


def _add(amounts: dict[str, float], user: str, amount: float) -> None:
    if user in amounts or len(amounts) < MAX_USERS:
        amounts[user] = amounts.get(user, 0.0) + amount


def _news(pod: Pod, now_s: float) -> PodLoad:
    """Return the load of a pod; of one that is gone and idle none, not even what it was sent: others may forget it."""
    own = NONE_IN_FLIGHT if pod.gone and not pod.own_in_flight else pod.own
    return PodLoad(pod.endpoint.id, *own, *pod.take_news(now_s))


def _whole(pod: Pod, now_s: float) -> PodLoad:
    wait_s = max(0.0, pod.prefill_done_at_s - now_s)
    return PodLoad(pod.endpoint.id, *pod.own, prefill_s=pod.prefill_backlog_s(now_s), wait_s=wait_s)


def _proof(pod: Pod, now_s: float) -> Proof:
    return Proof(pod.endpoint.id, pod.failures, pod.ejected_s(now_s))
