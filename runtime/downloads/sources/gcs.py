"""Objects of Google Cloud Storage: `gs://BUCKET/NAME`, `gcs://` likewise, over its JSON API.

Lives here: the API's names, its checksums and its tokens.  Not here: fetching objects (runtime.downloads.fetching).

The JSON API rather than signed addresses: it shows checksums in lists, and takes every token; a signed address wants a
private key, or the right to sign, which pods seldom have.
"""

import json
from collections.abc import Iterator
from functools import partial
from threading import Lock
from typing import Any
from urllib.parse import quote, urlencode

import google.auth
from google.auth import exceptions
from google.auth.transport.urllib3 import Request
from google.oauth2 import service_account
from urllib3 import PoolManager

from runtime.downloader import DownloadError
from runtime.downloads.checksums import from_base64
from runtime.downloads.files import Address, Checksum, Listing, RemoteFile
from runtime.downloads.locations import Location, shown
from runtime.downloads.settings import Variables
from runtime.downloads.sources.tree import listed
from runtime.downloads.transfer import PassingError, Retrying, Transfer

SERVER = "https://storage.googleapis.com"
SCOPES = ("https://www.googleapis.com/auth/devstorage.read_only",)
FIELDS = "items(name,size,generation,crc32c,md5Hash),nextPageToken"


class Gcs:
    """The objects below one name."""

    def __init__(self, location: Location, variables: Variables, transfer: Transfer, retrying: Retrying) -> None:
        self._shown = shown(location.uri)
        self._bucket, self._path = quote(location.root, safe=""), location.path
        emulator = variables.get("STORAGE_EMULATOR_HOST")
        self._server = (emulator if "://" in emulator else f"http://{emulator}").rstrip("/") if emulator else SERVER
        self._tokens = Tokens(variables, is_emulated=bool(emulator))
        self._transfer = transfer
        self._retrying = retrying
        self._checksums: dict[str, Checksum | None] = {}

    def listing(self) -> Listing:
        """Return the object of this name, or those below it."""
        return listed(self._found(self._path.rstrip("/")), self._path, self._shown)

    def address(self, file: RemoteFile) -> Address:
        """Return the address of one generation of an object, as it is stored: compressed ones are not unpacked."""
        url = f"{self._server}/download/storage/v1/b/{self._bucket}/o/{quote(file.key, safe='')}"
        return Address(f"{url}?alt=media&generation={file.version}", {**self._headers(), "accept-encoding": "gzip"})

    def checksum(self, file: RemoteFile) -> Checksum | None:
        """Return the CRC-32C, which every object has."""
        return self._checksums[file.key]

    def _found(self, prefix: str) -> Iterator[RemoteFile]:
        page: dict[str, Any] = {"nextPageToken": ""}
        while (token := page.get("nextPageToken")) is not None:
            query = {"prefix": prefix, "fields": FIELDS} | ({"pageToken": token} if token else {})
            url = f"{self._server}/storage/v1/b/{self._bucket}/o?{urlencode(query)}"
            page = self._retrying.call(partial(self._page, url))
            for item in page.get("items", ()):
                self._checksums[item["name"]] = from_base64("crc32c", item["crc32c"]) if "crc32c" in item else None
                yield RemoteFile(item["name"], item["name"], int(item["size"]), str(item["generation"]))

    def _page(self, url: str) -> dict[str, Any]:
        page: dict[str, Any] = self._transfer.get(Address(url, self._headers())).json()
        return page

    def _headers(self) -> dict[str, str]:
        token = self._retrying.call(lambda: self._tokens.token(self._shown))
        return {"authorization": f"Bearer {token}"} if token else {}


class Tokens:
    """Access tokens, fetched again before they end; none where there are no credentials, as for public buckets."""

    def __init__(self, variables: Variables, *, is_emulated: bool) -> None:
        self._given = variables.get("GOOGLE_OAUTH_ACCESS_TOKEN")
        self._key = variables.get("GOOGLE_SERVICE_ACCOUNT_KEY")
        self._has_machine = variables.has_machine and not is_emulated
        self._credentials: Any = None
        self._lock = Lock()

    def token(self, shown_uri: str) -> str:
        """Return a token, or an empty text.  Raises PassingError and DownloadError."""
        if self._given:
            return self._given
        with self._lock:
            try:
                self._credentials = self._credentials or self._found()
                if self._credentials is None:
                    return ""
                if not self._credentials.valid:
                    request: Any = Request  # has no type information
                    self._credentials.refresh(request(PoolManager()))
                return str(self._credentials.token)
            except exceptions.TransportError as error:
                raise PassingError(DownloadError(f"{shown_uri}: cannot reach the server of tokens")) from error
            except (exceptions.GoogleAuthError, ValueError) as error:
                raise DownloadError(f"{shown_uri}: the credentials cannot be used", 401) from error

    def _found(self) -> Any:
        """Return credentials; None where there are none."""
        if self._key:
            make: Any = service_account.Credentials.from_service_account_info  # has no type information
            return make(json.loads(self._key), scopes=SCOPES)
        if not self._has_machine:
            return None
        try:
            return google.auth.default(scopes=SCOPES)[0]
        except exceptions.DefaultCredentialsError:
            self._has_machine = False  # looking for them once more would take seconds again
            return None
