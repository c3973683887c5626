"""Takes ports as fast as it can, as clients and servers that ask for any port do: `python -m tests.support.robber`."""

import socket
import time

HELD = 2000
"""Sockets at once; the oldest is closed for the next."""


def main() -> None:
    held: list[socket.socket] = []
    while True:
        held.append(socket.create_server(("127.0.0.1", 0)))
        if len(held) > HELD:
            held.pop(0).close()
            time.sleep(0.002)


if __name__ == "__main__":
    main()
