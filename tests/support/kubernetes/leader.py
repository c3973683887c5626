"""A process that stands for election, for tests that kill it: `leader.py KUBECONFIG IDENTITY`; prints when it leads."""

import asyncio
import sys
import time
from pathlib import Path
from random import Random

from kube.client import Client, connection
from kube.election import Election, Terms
from kube.times import Clocks

TERMS = Terms(lease_s=4, renew_by_s=3.0, retry_s=0.5)


async def main(kubeconfig: Path, identity: str) -> None:
    async with Client(connection(kubeconfig), "forebay-test") as client:
        clocks = Clocks(time.monotonic, time.time)
        election = Election(client, "leader", "default", identity=identity, clocks=clocks, terms=TERMS)
        await election.run(lead, Random(identity))


async def lead() -> None:
    sys.stdout.write("leads\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
