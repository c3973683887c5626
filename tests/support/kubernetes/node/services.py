"""Addresses and names of Services, in place of kube-proxy and CoreDNS, for TCP.

Lives here: listening on every cluster address and node port, and as load balancer on the node; passing each connection
on to a random ready endpoint.
Not here: the DNS messages (dns).  Addresses of 10.96.0.0/16 must be bindable: tests/kubernetes/enter.sh.
"""

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import msgspec

from kube.backoff import Backoff
from kube.client import Client, Selection, connection
from kube.errors import ApiError
from kube.informer import Informer, Pace
from kube.objects import Kind, Object, body
from tests.support.kubernetes.node.dns import PORT, Answers
from tests.support.kubernetes.node.network import GATEWAY

SERVER = "10.96.0.10"
"""The address of the cluster's DNS."""
BALANCED = "LoadBalancer"
DOMAIN = ("svc", "cluster", "local")
PACE = Pace(backoff=Backoff(first_s=0.1, cap_s=1.0), gather_s=0.0)
PIECE = 1 << 16

Address = tuple[str, int]


class ServicePort(msgspec.Struct, frozen=True, rename="camel"):
    port: int
    name: str = ""
    protocol: str = "TCP"
    node_port: int = 0


class ServiceSpec(msgspec.Struct, frozen=True, rename="camel"):
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    ports: tuple[ServicePort, ...] = ()
    publish_not_ready_addresses: bool = False
    type: str = "ClusterIP"


class ServiceStatus(msgspec.Struct, frozen=True, rename="camel"):
    load_balancer: dict[str, Any] = msgspec.field(default_factory=dict)


class Service(Object, frozen=True):
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class Conditions(msgspec.Struct, frozen=True):
    ready: bool | None = None  # unknown, which counts as ready


class Endpoint(msgspec.Struct, frozen=True):
    addresses: tuple[str, ...]
    conditions: Conditions = Conditions()


class EndpointPort(msgspec.Struct, frozen=True):
    port: int | None = None
    name: str | None = None


class Slice(Object, frozen=True):
    endpoints: tuple[Endpoint, ...] | None = ()
    ports: tuple[EndpointPort, ...] | None = ()


SERVICES = Kind("", "v1", "Service", "services", Service)
SLICES = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", Slice)


class Services:
    """All Services of the cluster; `run` it."""

    def __init__(self, client: Client, rng: Random) -> None:
        self._client = client
        self._rng = rng
        self._services = Informer(client, SERVICES, Selection(), rng, PACE)
        self._slices = Informer(client, SLICES, Selection(), rng, PACE)
        self._servers: dict[Address, tuple[str, ServicePort, asyncio.Server]] = {}

    async def run(self) -> None:
        """Follow the cluster, for ever."""
        await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Answers(self.resolve), local_addr=(SERVER, PORT)
        )
        async with asyncio.TaskGroup() as tasks:
            for informer in (self._services, self._slices):
                tasks.create_task(informer.run())
            async for _ in self._services.changes():
                await self._follow()

    async def _follow(self) -> None:
        await self._balance()
        wanted = {address: (key, port) for key, port, address in self._ports()}
        for address, (key, port, server) in list(self._servers.items()):
            if wanted.get(address) != (key, port):
                server.close()
                del self._servers[address]
        for address, (key, port) in wanted.items():
            if address not in self._servers:
                serve = partial(self._forward, key, port.name)
                with contextlib.suppress(OSError):  # taken, or no address of ours: looked at again with the next change
                    server = await asyncio.start_server(serve, *address, backlog=1024, limit=PIECE)
                    self._servers[address] = key, port, server

    async def _balance(self) -> None:
        """Say what the address of load balancers is: the node's."""
        for service in self._services.objects.values():
            if service.spec.type == BALANCED and not service.status.load_balancer:
                status = {"loadBalancer": {"ingress": [{"ip": GATEWAY}]}}
                name = body(SERVICES, service.metadata.name, service.metadata.namespace, status=status)
                with contextlib.suppress(ApiError):  # looked at again with the next change
                    await self._client.apply(SERVICES, name, "status")

    def _ports(self) -> Iterator[tuple[str, ServicePort, Address]]:
        for key, service in self._services.objects.items():
            for port in service.spec.ports:
                if port.protocol == "TCP" and service.spec.cluster_ip not in {"", "None"}:
                    yield key, port, (service.spec.cluster_ip, port.port)
                    if port.node_port:
                        yield key, port, (GATEWAY, port.node_port)
                    if service.spec.type == BALANCED:
                        yield key, port, (GATEWAY, port.port)

    def _slices_of(self, key: str) -> Iterator[Slice]:
        for one in self._slices.objects.values():
            if f"{one.metadata.namespace}/{one.metadata.labels.get('kubernetes.io/service-name')}" == key:
                yield one

    def _targets(self, key: str, name: str) -> list[Address]:
        return [
            (address, port.port)
            for one in self._slices_of(key)
            for port in one.ports or ()
            if (port.name or "") == name and port.port
            for endpoint in one.endpoints or ()
            if endpoint.conditions.ready is not False
            for address in endpoint.addresses
        ]

    def resolve(self, labels: tuple[str, ...]) -> list[str] | None:
        """Return the addresses of a name, None where there is no such name."""
        service = self._services.objects.get(f"{labels[1]}/{labels[0]}") if labels[2:] == DOMAIN else None
        if service is None:
            return None
        if service.spec.cluster_ip != "None":
            return [service.spec.cluster_ip]
        is_shown = service.spec.publish_not_ready_addresses
        return sorted(
            address
            for one in self._slices_of(service.metadata.key)
            for endpoint in one.endpoints or ()
            if is_shown or endpoint.conditions.ready is not False
            for address in endpoint.addresses
        )

    async def _forward(self, key: str, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on; where nobody takes it, it is reset."""
        targets = self._targets(key, name)
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._rng.choice(targets), limit=PIECE)
        except (OSError, IndexError):
            writer.transport.abort()
            return
        with contextlib.suppress(OSError):
            await asyncio.gather(_pipe(reader, up_writer), _pipe(up_reader, writer))
        for one in (writer, up_writer):
            one.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, and its end."""
    while data := await reader.read(PIECE):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def main(kubeconfig: Path) -> None:
    async with Client(connection(kubeconfig), "services") as client:
        running = asyncio.ensure_future(Services(client, SystemRandom()).run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        await asyncio.wait((running,))
        if not running.cancelled():
            running.result()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    asyncio.run(main(parser.parse_args().kubeconfig))
