"""A container of a pod: a local process, started again as the restart policy says.

Lives here: command, environment, restarts, what the status says.  Not here: what it runs in (sandbox), probes
(probing), the pod (running).
"""

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kube.times import timestamp
from tests.support.kubernetes.node.objects import Json

Programs = Mapping[str, Sequence[str] | None]
"""Beginning of a command, or of an image's name with or without its registry -> what runs in its place.

None: nothing runs, and the container counts as ready.
"""

IDLE = ("sleep", "infinity")
LONGEST_WAIT = 30
"""Back-offs that a restart waits for at most; a process that ran a third as long starts again at once."""


def environment(
    base: Mapping[str, str], container: Json, fields: Mapping[str, str], variables: Mapping[str, str]
) -> dict[str, str]:
    """The environment of one container: that of all, and what it sets.

    `fields` are the pod's fields that `fieldRef` may name, `variables` those from ConfigMaps and Secrets.
    """
    made = {**base, **variables}
    for entry in container.get("env", []):
        path = entry.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", "")
        if "value" in entry or path:
            made[entry["name"]] = expand(entry.get("value", fields.get(path, "")), made)
    return made


def expand(text: str, environment: Mapping[str, str]) -> str:
    """`$(NAME)` in a command or a value, as Kubernetes fills it in."""
    return re.sub(r"\$\(([\w.-]+)\)", lambda found: environment.get(found[1], found[0]), text)


def command(container: Json, programs: Programs) -> Sequence[str] | None:
    """The command that runs for the container; None when nothing does."""
    own = [*container.get("command", []), *container.get("args", [])]
    for beginning, instead in programs.items():
        if " ".join(own).startswith(beginning):
            return instead and [*instead, *own[len(beginning.split()) :]]
        if any(name.startswith(beginning) for name in (container["image"], container["image"].rpartition("/")[2])):
            return instead and [*instead, *container.get("args", [])]
    return own if container.get("command") else None


class Container:
    """One container: its process, and what the pod's status says of it; `changed` is called when that changes.

    `enter` is the beginning of a command that runs in the pod's sandbox.
    """

    def __init__(
        self,
        spec: Json,
        argv: Sequence[str] | None,
        environment: Mapping[str, str],
        log: Path,
        changed: Callable[[], None],
        *,
        enter: Sequence[str] = (),
    ) -> None:
        self.spec = spec
        self.is_idle = argv is None
        self.is_ready = self.is_started = False
        self.restarts = 0
        self.environment = environment
        self._argv = [*enter, *(expand(word, environment) for word in argv or IDLE)]
        self._log = log
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._state: Json = {"waiting": {"reason": "ContainerCreating"}}
        self._last: Json = {}
        self._ended = asyncio.Event()

    async def run(self, policy: str, backoff_s: float) -> int:
        """Run until the policy says that it is enough, or after `end`; return the last exit code."""
        wait_s = 0.0
        while True:
            began_s = time.monotonic()
            over = await self._run_once()
            is_enough = policy == "Never" or (policy == "OnFailure" and over["exitCode"] == 0)
            if is_enough or self._ended.is_set():
                self.become({"terminated": over})
                return int(over["exitCode"])
            ran_long = time.monotonic() - began_s > LONGEST_WAIT / 3 * backoff_s
            wait_s = 0.0 if ran_long else min(max(2 * wait_s, backoff_s), LONGEST_WAIT * backoff_s)
            self._last, self.restarts = {"terminated": over}, self.restarts + 1
            self.become({"waiting": {"reason": "CrashLoopBackOff", "message": f"back-off {wait_s:g} s"}})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), wait_s)

    async def _run_once(self) -> Json:
        began = timestamp(time.time())
        argv = ("setpriv", "--pdeathsig", "KILL", "--", *self._argv)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *argv,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.is_started = "startupProbe" not in self.spec or self.is_idle
        self.is_ready = self.is_started and ("readinessProbe" not in self.spec or self.is_idle)
        self.become({"running": {"startedAt": began}})
        status = await self._process.wait()
        self.signal(signal.SIGKILL)  # its children
        self.is_ready = self.is_started = False
        code = status if status >= 0 else 128 - status
        reason = "Error" if code else "Completed"
        return {"exitCode": code, "reason": reason, "startedAt": began, "finishedAt": timestamp(time.time())}

    def inside(self) -> Sequence[str]:
        """Return the beginning of a command that runs beside the process, for probes and hooks."""
        assert self._process is not None
        return ("nsenter", f"--target={self._process.pid}", "--mount", "--net", "--root", "--wd")

    def end(self, how: signal.Signals) -> None:
        """End the process for good."""
        self._ended.set()
        self.signal(how)

    def signal(self, how: signal.Signals) -> None:
        """Send a signal to the process and all that it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, how)

    def become(self, state: Json) -> None:
        """Say what state the container is in now."""
        self._state = state
        self._changed()

    def be_ready(self, *, ready: bool) -> None:
        """Say whether the container is ready; it has started, too, when it is."""
        if ready != self.is_ready or not self.is_started:
            self.is_ready, self.is_started = ready, True
            self._changed()

    def status(self) -> Json:
        """The container's part of the pod's status."""
        return {
            "name": self.spec["name"],
            "image": self.spec["image"],
            "imageID": "process",
            "containerID": f"process://{self._process.pid if self._process else 0}",
            "state": self._state,
            "lastState": self._last,
            "restartCount": self.restarts,
            "ready": self.is_ready,
            "started": self.is_started,
        }
