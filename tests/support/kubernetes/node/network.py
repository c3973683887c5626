"""The network of a pod: a namespace of its own, joined to the others by a bridge, as container engines make it.

Lives here: making it and its name for other programs.  Not here: the bridge (tests/kubernetes/enter.sh), addresses of
Services (services).  So every pod may listen on any port, on 0.0.0.0 as on 127.0.0.1.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tests.support.polling import until

BRIDGE = "pods"
GATEWAY = "10.244.0.1"
"""The bridge's own address, which enter.sh gives it: the node's, and the way to Services."""
_JOIN = """
ip link add "$2" type veth peer name eth0 netns "$1"
ip link set "$2" master "$4" up
exec nsenter --net="/proc/$1/ns/net" sh -euc '
  ip link set lo up; ip address add "$1/16" dev eth0; ip link set eth0 up; ip route add default via "$2"' sh "$3" "$5"
"""


class Network:
    """One pod's network; it lasts until it is closed or the node dies."""

    def __init__(self, holder: asyncio.subprocess.Process) -> None:
        self._holder = holder

    @property
    def enter(self) -> Sequence[str]:
        """The beginning of a command that runs in the network."""
        return ("nsenter", f"--net=/proc/{self._holder.pid}/ns/net")

    async def close(self) -> None:
        """Let it go when the last process in it has ended."""
        self._holder.kill()
        await self._holder.wait()


async def join(ip: str) -> Network:
    """Make a network with this address.  A process that does nothing holds it, whatever the containers do."""
    holder = await asyncio.create_subprocess_exec(
        "setpriv", "--pdeathsig", "KILL", "--", "unshare", "--net", "sleep", "infinity"
    )
    await until(lambda: _of(holder.pid) != _of("self"), every_s=0.002)
    arguments = (str(holder.pid), f"veth{ip.removeprefix('10.244')}", ip, BRIDGE, GATEWAY)
    joiner = await asyncio.create_subprocess_exec("sh", "-euc", _JOIN, "sh", *arguments)
    if await joiner.wait():  # the address may still be an ended pod's
        holder.kill()
        await holder.wait()
        raise OSError(f"no network for {ip}")
    return Network(holder)


def _of(process: int | str) -> Path:
    return Path(f"/proc/{process}/ns/net").readlink()
