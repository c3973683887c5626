"""Starts a process on the leash, says its id and sleeps: something for tests to kill."""

import sys
import time

import click

from forebay.local.process import Part, Process


async def never() -> bool:
    return False


if __name__ == "__main__":
    child = Process(Part("test", "child", (sys.executable, "-c", "import time; time.sleep(60)"), "", never))
    click.echo(f"child {child.pid}")
    time.sleep(60)
