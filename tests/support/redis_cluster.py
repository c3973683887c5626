"""A real Redis Cluster of three nodes on loopback, without replicas."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from redis.cluster import RedisCluster as Client

from tests.support.ports import free_port
from tests.support.redis import START_DEADLINE_S, RedisServer

SLOTS = 16384
BUS = 10_000
"""A node talks to the others on its port plus this."""


class RedisCluster:
    """Its nodes, each with a third of the slots."""

    def __init__(self, nodes: list[RedisServer], ports: list[int]) -> None:
        self.nodes = nodes
        self.ports = ports
        self.url = f"redis://127.0.0.1:{ports[0]}/0"

    @cached_property
    def own_client(self) -> Client:
        """A client that blocks, for looking and preparing."""
        return Client.from_url(self.url)

    def start(self, index: int) -> None:
        port = str(self.ports[index])
        self.nodes[index].start("--cluster-enabled", "yes", "--port", port, "--cluster-node-timeout", "2000")

    def form(self) -> None:
        """Share the slots out and introduce the nodes to each other."""
        third = SLOTS // 3 + 1
        for index, node in enumerate(self.nodes):
            with node.client() as client:
                slots = range(index * third, min(SLOTS, (index + 1) * third))
                client.execute_command("CLUSTER", "ADDSLOTS", *slots)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.ports[0])
        self.wait_whole()

    def wait_whole(self) -> None:
        deadline_s = time.monotonic() + START_DEADLINE_S
        while not all(self._is_whole(node) for node in self.nodes):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)

    def flush(self) -> None:
        for node in self.nodes:
            node.flush()

    def move(self, slot: int, source: int, target: int) -> None:
        """Give an empty slot to another node."""
        with self.nodes[target].client() as client:
            name = client.execute_command("CLUSTER", "MYID")
        for index in (target, source, *range(3)):
            with self.nodes[index].client() as client:
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", name)

    def _is_whole(self, node: RedisServer) -> bool:
        with node.client() as client:
            told = client.execute_command("CLUSTER", "INFO")
            text = (
                told
                if isinstance(told, dict)
                else dict(line.split(":", 1) for line in told.decode().split() if ":" in line)
            )
            return text["cluster_state"] == "ok" and text["cluster_known_nodes"] == "3"


@contextmanager
def redis_cluster() -> Iterator[RedisCluster]:
    """Run one for the length of a block."""
    nodes = [RedisServer(Path(tempfile.mkdtemp(prefix="redis-"))) for _ in range(3)]
    cluster = RedisCluster(nodes, [low_port() for _ in nodes])
    try:
        for index in range(3):
            cluster.start(index)
        cluster.form()
        yield cluster
        if "own_client" in vars(cluster):
            cluster.own_client.close()
    finally:
        for node in nodes:
            node.kill()
            shutil.rmtree(node.folder)


def low_port() -> int:
    """A free port whose bus port exists and is free too, as far as can be known."""
    while (port := free_port()) + BUS > 65_535:
        pass
    return port
