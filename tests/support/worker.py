"""A stand-in for a gateway worker: `python -m tests.support.worker HTTP [PRIVATE]`; says ok on every path of both."""

import asyncio
import signal
import sys

import click

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(OK)
    writer.close()


async def main(addresses: list[str]) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    for address in addresses:
        host, _, port = address.rpartition(":")
        await asyncio.start_server(answer, host, int(port), reuse_port=True)
    await stopping.wait()
    click.echo("drained")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
