"""Objects of S3 and of stores with its API: `s3://BUCKET/KEY` and, with TOS's variables, `tos://BUCKET/KEY`.

Bytes come from signed addresses, so that a transfer needs no client of AWS.  Credentials are botocore's: variables,
files, roles; without any, requests are not signed, as public buckets want it.

Lives here: S3's names, checksums and errors.  Not here: fetching objects (runtime.downloads.fetching).
"""

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from botocore import UNSIGNED, exceptions
from botocore.config import Config
from botocore.session import Session

from runtime.downloader import DownloadError
from runtime.downloads.checksums import from_base64
from runtime.downloads.files import Address, Checksum, Listing, RemoteFile
from runtime.downloads.locations import Location, shown
from runtime.downloads.settings import Variables
from runtime.downloads.sources.tree import listed
from runtime.downloads.transfer import WAIT_AND_SEE, PassingError, Retrying, Transfer

SIGNED_S = 3600
"""Seconds that an address is good for; each request gets a new one."""
TIMEOUT_S = 30
ETAG = re.compile(r'"?([0-9a-fA-F]{32})(?:-(\d+))?"?')
TOS_NATIVE = re.compile(r"tos-(?!s3-)([a-z0-9-]+\.(?:i?volces\.com))")
"""TOS's own endpoints; those of its S3 API begin with tos-s3- (Volcengine's documentation)."""
MISSING = ("404", "NoSuchKey", "NoSuchBucket", "NotFound", "NoSuchVersion")

T = TypeVar("T")


class S3:
    """The objects below one key."""

    def __init__(self, location: Location, variables: Variables, _transfer: Transfer, retrying: Retrying) -> None:
        self._shown = shown(location.uri)
        self._bucket, self._key = location.root, location.path
        self._client = client_of(variables, "TOS" if location.scheme == "tos" else "AWS")
        self._retrying = retrying

    def listing(self) -> Listing:
        """Return the object of this key, or those below it."""
        if self._key and not self._key.endswith("/") and (single := self._call(self._head, self._key)):
            return listed([single], self._key, self._shown)
        prefix = f"{self._key.rstrip('/')}/" if self._key.strip("/") else ""
        return listed(self._call(self._list, prefix), prefix, self._shown)

    def address(self, file: RemoteFile) -> Address:
        """Return a signed address."""
        parameters = {"Bucket": self._bucket, "Key": file.key}
        try:
            return Address(self._client.generate_presigned_url("get_object", parameters, SIGNED_S))
        except exceptions.BotoCoreError as error:
            raise self._error("the credentials are incomplete", 401) from error

    def checksum(self, file: RemoteFile) -> Checksum | None:
        """Return a checksum of the whole object, or else what its ETag says."""
        head = self._call(self._checked_head, file.key)
        if head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
            for name, algorithm in (("SHA256", "sha256"), ("CRC32C", "crc32c"), ("CRC32", "crc32"), ("SHA1", "sha1")):
                if (text := head.get(f"Checksum{name}")) and (known := from_base64(algorithm, text)):
                    return known
        match = ETAG.fullmatch(head["ETag"])
        if match is None or "kms" in head.get("ServerSideEncryption", "") or "SSECustomerAlgorithm" in head:
            return None  # such ETags are no MD5s (S3 API reference, "ETag")
        if match[2] is None:
            return Checksum("md5", match[1].lower())
        part_size = self._call(self._part_size, file.key, int(match[2]), head["ContentLength"])
        return Checksum("md5-parts", match[1].lower(), part_size) if part_size else None

    def _head(self, key: str) -> RemoteFile | None:
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=key)
        except exceptions.ClientError as error:
            if status_of(error) in (403, 404):  # 403: of a missing key, too, without the right to list
                return None
            raise
        return RemoteFile(key, key, head["ContentLength"], head["ETag"], head["ETag"])

    def _list(self, prefix: str) -> list[RemoteFile]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        found = [entry for page in pages for entry in page.get("Contents", ())]
        return [RemoteFile(entry["Key"], entry["Key"], entry["Size"], entry["ETag"], entry["ETag"]) for entry in found]

    def _checked_head(self, key: str) -> dict[str, Any]:
        head: dict[str, Any] = self._client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        return head

    def _part_size(self, key: str, count: int, size: int) -> int:
        """Return the bytes of each part but the last; 0 where parts differ, or the store does not say."""
        lengths = []
        for number in (1, count):
            head = self._client.head_object(Bucket=self._bucket, Key=key, PartNumber=number)
            lengths.append(int(head["ContentLength"]))
        first, last = lengths
        return first if first * (count - 1) + last == size and last <= first else 0

    def _call(self, ask: Callable[..., T], *arguments: Any) -> T:
        """Ask the store, again where that may help.  Raises DownloadError."""
        return self._retrying.call(lambda: self._ask(ask, *arguments))

    def _ask(self, ask: Callable[..., T], *arguments: Any) -> T:
        try:
            return ask(*arguments)
        except exceptions.ClientError as error:
            status, code = status_of(error), error.response.get("Error", {}).get("Code", "")
            if code in MISSING or status == 404:  # noqa: PLR2004 - Not Found
                raise self._error("there is no such object or bucket", 404) from error
            refused = self._error(f"the store refuses ({code}, HTTP {status})", status if status in (401, 403) else 502)
            raise PassingError(refused) if status in WAIT_AND_SEE else refused from error
        except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
            raise PassingError(self._error("cannot reach the store", 502)) from error
        except (exceptions.NoCredentialsError, exceptions.CredentialRetrievalError) as error:
            raise self._error("there are no credentials", 401) from error
        except exceptions.BotoCoreError as error:
            raise self._error(f"the client refuses it ({type(error).__name__})", 400) from error

    def _error(self, reason: str, status: int) -> DownloadError:
        return DownloadError(f"{self._shown}: {reason}", status)


def status_of(error: exceptions.ClientError) -> int:
    """Return the HTTP status of a refusal."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def client_of(variables: Variables, prefix: str) -> Any:
    """Return a client that has the endpoint, region and credentials of variables that begin with a prefix.

    Raises DownloadError for variables that cannot be used.
    """
    session = Session()
    if prefix == "TOS":
        key, secret, token = variables.get("TOS_ACCESS_KEY"), variables.get("TOS_SECRET_KEY"), "TOS_SECURITY_TOKEN"
        endpoint, region = tos_endpoint(variables.get("TOS_ENDPOINT")), variables.get("TOS_REGION")
    else:
        key, secret = variables.get("AWS_ACCESS_KEY_ID"), variables.get("AWS_SECRET_ACCESS_KEY")
        token = "AWS_SESSION_TOKEN"  # noqa: S105 - a variable's name
        endpoint = variables.get("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        region = variables.get("AWS_REGION", "AWS_DEFAULT_REGION")
    if bool(key) != bool(secret):
        raise DownloadError(f"of {prefix}'s access key and secret key only one is set", 400)
    is_signed = bool(key) or (variables.has_machine and session.get_credentials() is not None)
    config = Config(
        signature_version="s3v4" if is_signed else UNSIGNED,
        s3={"addressing_style": "virtual" if prefix == "TOS" and not _is_address(endpoint) else "auto"},
        connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries={"total_max_attempts": 1},
    )  # fmt: skip
    try:
        return session.create_client(
            "s3", region or None, endpoint_url=endpoint or None, aws_access_key_id=key or None, config=config,
            aws_secret_access_key=secret or None, aws_session_token=(key and variables.get(token)) or None,
        )  # fmt: skip
    except (exceptions.BotoCoreError, ValueError) as error:
        raise DownloadError(f"{prefix}: the endpoint or the region cannot be used", 400) from error


def tos_endpoint(text: str) -> str:
    """Return an endpoint of TOS's S3 API.  Raises DownloadError where there is none."""
    if not text:
        raise DownloadError("TOS_ENDPOINT is not set", 400)
    url = text if "://" in text else f"https://{text}"
    return TOS_NATIVE.sub(r"tos-s3-\1", url)


def _is_address(endpoint: str) -> bool:
    """Whether an endpoint's host is an IP address or this machine, where buckets are no part of the host."""
    host = urlsplit(endpoint).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return True
