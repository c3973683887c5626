"""The status of an adapter: its phase, its conditions, the pods that have it, attempts that failed.

Lives here: what is said, without I/O.  Not here: what is true (plan), writing it (controller).  Phases and conditions
are AIBrix's: Pending, Scheduled, Bound, Running, Failed; Initialized, Scheduled, Bound, ResourceCreated, Ready.
"""

from collections.abc import Sequence

from controllers.modeladapter.objects import Adapter, AdapterStatus, Failure, Host
from controllers.modeladapter.plan import Wish
from kube.conditions import Condition, Truth, with_conditions
from kube.models import PORT

ATTEMPTS = 5
"""After so many failures in a row on a pod the phase is Failed; attempts go on, each time later."""


def status_of(adapter: Adapter, wish: Wish, failures: Sequence[Failure], clash: str, now_s: float) -> AdapterStatus:
    """Return the whole status; `clash` is why its Service or EndpointSlice could not be written.

    `now_s` is in seconds since the epoch; a condition that did not change keeps its time.
    """
    before = adapter.status.conditions if adapter.status else ()
    serving, wanted = wish.serving, 0 if wish.invalid else adapter.spec.replicas
    said = _conditions(adapter, wish, failures, clash)
    return AdapterStatus(
        _phase(wish, failures, clash),
        with_conditions(before, said, adapter.metadata.generation, now_s),
        tuple(sorted(host.name for host in serving)),
        tuple(sorted(host.name for host in wish.candidates)),
        wanted,
        len(serving),
        tuple(failures),
    )


def _phase(wish: Wish, failures: Sequence[Failure], clash: str) -> str:
    if wish.invalid or (not wish.serving and any(one.attempts >= ATTEMPTS for one in failures)):
        return "Failed"
    if wish.serving:
        return "Bound" if clash else "Running"
    return "Scheduled" if wish.placed else "Pending"


def _conditions(adapter: Adapter, wish: Wish, failures: Sequence[Failure], clash: str) -> list[Condition]:
    def said(kind: str, truth: bool | None, reason: str, message: str = "") -> Condition:
        status: Truth = "Unknown" if truth is None else "True" if truth else "False"
        return Condition(kind, status, reason, message)

    if wish.invalid:
        return [
            said("Initialized", False, "InvalidSpec", wish.invalid),
            said("Ready", False, "InvalidSpec", wish.invalid),
        ]
    return [
        said("Initialized", True, "ModelAdapterPending", "the specification can be used"),
        said("Scheduled", *_scheduled(adapter, wish)),
        said("Bound", *_bound(wish, failures)),
        said("ResourceCreated", not clash, "ServiceCreateError" if clash else "ResourcesCreated", clash),
        said("Ready", *_ready(adapter, wish, failures, clash)),
    ]


def _scheduled(adapter: Adapter, wish: Wish) -> tuple[bool | None, str, str]:
    if wish.placed:
        missing = adapter.spec.replicas - len(wish.placed)
        short = f"; no pods for {missing} more of {adapter.spec.replicas} replicas" if missing > 0 else ""
        return True, "Scheduled", f"on {_names(wish.placed)}{short}"
    if wish.elsewhere:
        return False, "PortConflict", _disputed(adapter, wish.elsewhere)
    if wish.unknown:
        return None, "EnginesUnknown", f"waits for the first answers of {', '.join(wish.unknown)}"
    labels = ", ".join(f"{name}={value}" for name, value in adapter.spec.pod_selector.match_labels.items())
    return False, "NoPods", f"no ready pod whose engine answers is selected by {labels or 'spec.podSelector'}"


def _bound(wish: Wish, failures: Sequence[Failure]) -> tuple[bool, str, str]:
    if wish.serving:
        return True, "ModelAdapterAvailable", f"loaded on {_names(wish.serving)}"
    if failures:
        return False, "ModelAdapterLoadingError", _told(failures)
    return False, "Loading" if wish.placed else "NotScheduled", ""


def _ready(adapter: Adapter, wish: Wish, failures: Sequence[Failure], clash: str) -> tuple[bool, str, str]:
    if clash:
        return False, "ServiceCreateError", clash
    if len(wish.serving) >= min(1, adapter.spec.replicas):
        there = f"{len(wish.serving)} of {adapter.spec.replicas} replicas"
        return True, "ModelAdapterAvailable", f"{there}; {_told(failures)}" if failures else there
    had_some = adapter.status is not None and bool(adapter.status.instances)
    if failures:
        return False, "ModelAdapterLoadingError", _told(failures)
    return False, "AdapterMigrating" if had_some else "ModelAdapterPending", "no engine has loaded it"


def _disputed(adapter: Adapter, hosts: Sequence[Host]) -> str:
    ports = ", ".join(str(port) for port in sorted({host.port for host in hosts}))
    return (
        f"its label {PORT} = {adapter.named_port}, but an older adapter says {ports} for {_names(hosts)}: "
        f"one engine has one port, which the label {PORT} of the pod can name"
    )


def _told(failures: Sequence[Failure]) -> str:
    return "; ".join(f"{one.pod}, attempt {one.attempts}: {one.message}" for one in failures)


def _names(hosts: Sequence[Host]) -> str:
    return ", ".join(host.name for host in hosts)
