"""The addresses and readings that the pages of the console share."""

from typing import NamedTuple

from console.history import History
from console.looking.client import Client


class Desk(NamedTuple):
    """One installation."""

    http: Client
    """`listen.http`: pages for operators."""
    admin: Client
    """`listen.admin`: users, keys, limits."""
    history: History
    gateway: str
    """The address that users send requests to; empty = not known."""
