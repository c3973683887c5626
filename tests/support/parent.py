"""Starts a child process, prints its id and sleeps until a test kills it."""

import sys
import time

import click

from forebay.local.supervision.process import Process, ProcessSpec


async def never() -> bool:
    return False


if __name__ == "__main__":
    child = Process(ProcessSpec("test", "child", (sys.executable, "-c", "import time; time.sleep(60)"), "", never))
    click.echo(f"child {child.pid}")
    time.sleep(60)
