"""gcp-storage-emulator on loopback, and a bucket of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tests.support.ports import free_port

BUCKET = "models"


@dataclass
class Store:
    """A server."""

    url: str

    @property
    def variables(self) -> dict[str, str]:
        return {"STORAGE_EMULATOR_HOST": self.url}

    def put(self, name: str, data: bytes) -> None:
        query = {"uploadType": "media", "name": name}
        httpx.post(f"{self.url}/upload/storage/v1/b/{BUCKET}/o", params=query, content=data).raise_for_status()


@contextmanager
def gcs_store() -> Iterator[Store]:
    """Serve an empty bucket until the block ends."""
    from gcp_storage_emulator.server import create_server  # noqa: PLC0415 - takes half a second

    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET)
    server.start()
    try:
        yield Store(f"http://127.0.0.1:{port}")
    finally:
        server.stop()
