"""moto's S3 server on loopback, and a bucket of it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.session import Session

BUCKET = "models"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
LEAST_PART = 5 << 20
"""Bytes that S3 wants in every part but the last."""


@dataclass
class Store:
    """A server and its client."""

    url: str
    client: Any

    @property
    def variables(self) -> dict[str, str]:
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url, "DOWNLOADER_PART_CHUNKSIZE": str(LEAST_PART // 2)}

    def put(self, key: str, data: bytes, **more: Any) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data, **more)

    def put_parts(self, key: str, data: bytes) -> None:
        """Upload as clients upload large files."""
        where = {"Bucket": BUCKET, "Key": key}
        where["UploadId"] = self.client.create_multipart_upload(**where)["UploadId"]
        parts = []
        for number, start in enumerate(range(0, len(data), LEAST_PART), start=1):
            body = data[start : start + LEAST_PART]
            answer = self.client.upload_part(**where, PartNumber=number, Body=body)
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self.client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})


@contextmanager
def s3_store() -> Iterator[Store]:
    """Serve an empty bucket until the block ends."""
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer  # noqa: PLC0415 - takes a second

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        url = f"http://{host}:{port}"
        client = Session().create_client(
            "s3", "us-east-1", endpoint_url=url, aws_access_key_id="key", aws_secret_access_key="secret"
        )
        client.create_bucket(Bucket=BUCKET)
        yield Store(url, client)
        client.close()
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            server.stop()
