"""Blobs of Azure: `az://CONTAINER/NAME`, `azure://` likewise; the account comes from variables.

Lives here: Azure's names, variables and checksums.  Not here: fetching blobs (runtime.downloads.fetching).
"""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import quote

import obstore
from obstore import exceptions
from obstore.store import AzureStore

from runtime.downloader import DownloadError
from runtime.downloads.checksums import from_base64
from runtime.downloads.files import Address, Checksum, Listing, RemoteFile
from runtime.downloads.locations import Location, shown
from runtime.downloads.settings import Variables
from runtime.downloads.sources.tree import listed
from runtime.downloads.transfer import PassingError, Retrying, Transfer

SIGNED = timedelta(hours=1)
MD5 = "x-ms-blob-content-md5"
"""The MD5 of the whole blob, in answers that have a part of it."""

STATUS = re.compile(r"non-2xx status code: (401|403|404)\b")

T = TypeVar("T")


class Azure:
    """The blobs below one name."""

    def __init__(self, location: Location, variables: Variables, transfer: Transfer, retrying: Retrying) -> None:
        self._shown = shown(location.uri)
        self._container, self._path = location.root, location.path
        self._account = Account(variables)
        self._store = self._account.store(location.root)
        self._transfer = transfer
        self._retrying = retrying

    def listing(self) -> Listing:
        """Return the blob of this name, or those below it."""
        path = self._path.rstrip("/")
        single = None if path != self._path or not path else self._call(lambda: self._head(path))
        found = [single] if single else self._call(lambda: obstore.list(self._store, path or None).collect())
        files = [
            RemoteFile(meta["path"], meta["path"], meta["size"], meta["e_tag"] or "", meta["e_tag"] or "")
            for meta in found
        ]
        return listed(files, self._path, self._shown)

    def address(self, file: RemoteFile) -> Address:
        """Return an address with a signature, or with the token that was given."""
        if self._account.needs_signature:
            if quote(file.key) != file.key:  # object_store signs the quoted name, Azure wants the name signed
                raise self._error(f"{file.path!r} is a name that only AZURE_STORAGE_SAS_TOKEN can fetch", 400)
            return Address(self._ask(lambda: obstore.sign(self._store, "GET", file.key, SIGNED)))
        query = f"?{self._account.token}" if self._account.token else ""
        return Address(f"{self._account.url}/{quote(self._container)}/{quote(file.key)}{query}")

    def checksum(self, file: RemoteFile) -> Checksum | None:
        """Return the MD5 that the blob was written with, where it has one."""
        if not file.size:
            return None
        return self._retrying.call(lambda: self._md5(file))

    def _md5(self, file: RemoteFile) -> Checksum | None:
        with self._transfer.answer(self.address(file), 0, 1) as response:
            return from_base64("md5", response.headers[MD5]) if MD5 in response.headers else None

    def _head(self, path: str) -> Any:
        try:
            return obstore.head(self._store, path)
        except FileNotFoundError:
            return None

    def _call(self, ask: Callable[[], T]) -> T:
        return self._retrying.call(lambda: self._ask(ask))

    def _ask(self, ask: Callable[[], T]) -> T:
        """Ask the store.  Its errors have whole answers and addresses in them, which are not shown."""
        try:
            return ask()
        except FileNotFoundError as error:
            raise self._error("there is no such blob or container", 404) from error
        except exceptions.PermissionDeniedError as error:
            raise self._error("the store refuses these credentials", 403) from error
        except exceptions.UnauthenticatedError as error:
            raise self._error("the store wants credentials, or refuses these", 401) from error
        except exceptions.BaseError as error:
            if match := STATUS.search(str(error)):  # of a container, for which there is no error of its own
                raise self._error(f"the store refuses (HTTP {match[1]})", int(match[1])) from error
            raise PassingError(self._error("the store does not answer as it should", 502)) from error

    def _error(self, reason: str, status: int) -> DownloadError:
        return DownloadError(f"{self._shown}: {reason}", status)


class Account:
    """An account of Azure: its address, and the credentials that variables have."""

    def __init__(self, variables: Variables) -> None:
        given = connection_of(variables.get("AZURE_STORAGE_CONNECTION_STRING"))
        self._name = given.get("accountname") or variables.get("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
        self._key = given.get("accountkey") or variables.get(
            "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_KEY"
        )
        self.token = (
            given.get("sharedaccesssignature") or variables.get("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")
        ).lstrip("?")
        if not self._name:
            raise DownloadError("AZURE_STORAGE_ACCOUNT_NAME is not set", 400)
        endpoint = given.get("blobendpoint") or variables.get("AZURE_STORAGE_ENDPOINT")
        self.url = (endpoint or f"https://{self._name}.blob.core.windows.net").rstrip("/")
        is_public = variables.get("AZURE_SKIP_SIGNATURE").lower() in ("1", "true") or not variables.has_machine
        self._is_public = is_public and not self._key and not self.token
        self.needs_signature = not self.token and not self._is_public

    def store(self, container: str) -> AzureStore:
        """Return a client of one container."""
        config: Any = {"account_name": self._name, "endpoint": self.url}
        if self.token:
            config["sas_key"] = self.token
        elif self._key:
            config["account_key"] = self._key
        elif self._is_public:
            config["skip_signature"] = True
        try:
            return AzureStore(
                container, config=config, client_options={"allow_http": True}, retry_config={"max_retries": 0}
            )
        except (exceptions.BaseError, ValueError) as error:
            raise DownloadError("the account, its key or its endpoint cannot be used", 400) from error


def connection_of(text: str) -> dict[str, str]:
    """Return the parts of a connection string, by their names in lower case."""
    pairs = (part.partition("=") for part in text.split(";") if "=" in part)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
