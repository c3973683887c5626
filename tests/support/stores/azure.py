"""Azurite, Microsoft's emulator of Azure's stores, on loopback, and a container of it.

It is a package of npm, which `make test-azure` fetches.
"""

import base64
import email.utils
import hmac
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import obstore
from obstore.store import AzureStore

from tests.support.ports import free_port
from tests.support.waiting import until

CONTAINER = "models"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's documented account and key."""
VARIABLE = "FOREBAY_AZURITE"
ABSENT = "make test-azure, which fetches Azurite with npm"


@dataclass
class Store:
    """A server and its client."""

    url: str
    client: AzureStore

    @property
    def variables(self) -> dict[str, str]:
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": KEY, "AZURE_STORAGE_ENDPOINT": self.url,
        }  # fmt: skip

    def put(self, name: str, data: bytes) -> None:
        obstore.put(self.client, name, data, use_multipart=False)


@contextmanager
def azure_store() -> Iterator[Store]:
    """Serve an empty container until the block ends."""
    port = free_port()
    program = Path(os.environ[VARIABLE]) / "node_modules" / ".bin" / "azurite-blob"
    options = ("--inMemoryPersistence", "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent")
    server = subprocess.Popen(
        [program, *options, "--disableTelemetry", "--skipApiVersionCheck"], stdout=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}/{ACCOUNT}"
        until(lambda: _answers(url), limit_s=60)
        _make_container(url)
        config: Any = {"account_name": ACCOUNT, "account_key": KEY, "endpoint": url}
        yield Store(url, AzureStore(CONTAINER, config=config, client_options={"allow_http": True}))
    finally:
        server.terminate()
        server.wait()


def _answers(url: str) -> bool:
    try:
        httpx.get(url)
    except httpx.TransportError:
        return False
    return True


def _make_container(url: str) -> None:
    """Make the container, which obstore cannot, with a request signed by the account's key."""
    headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    text = f"PUT{chr(10) * 12}{lines}/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
    signature = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), "sha256").digest()).decode()
    headers["authorization"] = f"SharedKey {ACCOUNT}:{signature}"
    httpx.put(f"{url}/{CONTAINER}?restype=container", headers=headers).raise_for_status()
