"""A network namespace in which every port is free: for commands that people type with fixed ports.

Not here: the richer one of the tests on Kubernetes (tests/kubernetes/enter.sh).
"""

import subprocess
from collections.abc import Sequence
from functools import cache
from shutil import which

WAYS = (("--net",), ("--user", "--map-root-user", "--net"))
"""As root, or as an ordinary user where user namespaces are allowed."""
WITH_LOOPBACK = ("sh", "-euc", 'ip link set lo up; exec "$@"', "sh")
ABSENT = "needs a network namespace: unshare (util-linux) as root, or user namespaces for ordinary users"


@cache
def entered() -> Sequence[str] | None:
    """The beginning of a command that runs the rest in a namespace, all of which dies with it; None = no way."""
    if which("unshare") is None or which("ip") is None:
        return None
    for way in WAYS:
        command = ("unshare", *way, "--pid", "--fork", "--kill-child", *WITH_LOOPBACK)
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return None
