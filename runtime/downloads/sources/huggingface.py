"""Repositories of models of the Hugging Face Hub, or of another server with its API.

`hf://ORG/NAME[@REVISION][/PATH]`, `huggingface://` likewise; a revision in the URI goes before HF_REVISION.  Files are
of the commit that the revision names when a download begins.

Lives here: the Hub's names, its answers and its errors.  Not here: fetching files (runtime.downloads.fetching).
"""

from urllib.parse import unquote

from huggingface_hub import HfApi, ModelInfo, errors, hf_hub_url
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented

from runtime.downloader import DownloadError
from runtime.downloads.files import Address, Checksum, Listing, RemoteFile
from runtime.downloads.locations import Location, shown
from runtime.downloads.settings import Variables
from runtime.downloads.sources.tree import listed
from runtime.downloads.transfer import WAIT_AND_SEE, PassingError, Retrying, Transfer

SERVER = "https://huggingface.co"
TIMEOUT_S = 30.0


class HuggingFace:
    """The files of one repository, or of a folder in it."""

    def __init__(self, location: Location, variables: Variables, _transfer: Transfer, retrying: Retrying) -> None:
        self._shown = shown(location.uri)
        self._repository, self._path, revision = repository_of(location)
        self._revision = revision or variables.get("HF_REVISION") or "main"
        self._endpoint = (variables.get("HF_ENDPOINT") or SERVER).rstrip("/")
        if not self._endpoint.startswith(("http://", "https://")):
            raise DownloadError("HF_ENDPOINT must begin with http:// or https://", 400)
        self._token = variables.get("HF_TOKEN") or (None if variables.has_machine else False)
        self._retrying = retrying
        self._commit = ""
        self._checksums: dict[str, Checksum | None] = {}

    def listing(self) -> Listing:
        """Return the files of the commit that the revision names now."""
        info = self._retrying.call(self._ask)
        self._commit = info.sha or self._revision
        files = []
        for entry in info.siblings or ():
            name, digest = entry.rfilename, entry.lfs.sha256 if entry.lfs else entry.blob_id
            self._checksums[name] = Checksum("sha256" if entry.lfs else "git", digest) if digest else None
            files.append(RemoteFile(name, name, entry.size, digest or ""))
        return listed(files, self._path, self._shown)

    def address(self, file: RemoteFile) -> Address:
        """Return the file's address at the Hub, which redirects to where large ones are."""
        url = hf_hub_url(self._repository, file.key, revision=self._commit, endpoint=self._endpoint)
        return Address(url, build_hf_headers(token=self._token, library_name="forebay"))

    def checksum(self, file: RemoteFile) -> Checksum | None:
        """Return the SHA-256 of a large file, git's SHA-1 of a small one."""
        return self._checksums[file.key]

    def _ask(self) -> ModelInfo:
        api = HfApi(self._endpoint, self._token, library_name="forebay")
        try:
            return api.model_info(self._repository, revision=self._revision, timeout=TIMEOUT_S, files_metadata=True)
        except errors.HfHubHTTPError as error:
            raise self._meaning(error, error.response.status_code) from error
        except errors.HTTPError as error:  # type: ignore[attr-defined]  # of its HTTP client
            raise PassingError(self._error("cannot reach the Hub", 502)) from error
        except errors.HFValidationError as error:
            raise self._error("is not the name of a repository, ORG/NAME", 400) from error

    def _meaning(self, error: errors.HfHubHTTPError, status: int) -> Exception:
        if isinstance(error, errors.GatedRepoError):
            return self._error("needs a token whose owner was given access to it at the Hub", 403)
        if isinstance(error, errors.RevisionNotFoundError):
            return self._error(f"has no revision {self._revision}", 404)
        if isinstance(error, errors.RepositoryNotFoundError):
            return self._error("there is no such repository, or it is private and the token is missing or wrong", 404)
        refused = self._error(f"the Hub refuses (HTTP {status})", status if status in (401, 403, 404) else 502)
        return PassingError(refused) if status in WAIT_AND_SEE else refused

    def _error(self, reason: str, status: int) -> DownloadError:
        return DownloadError(f"{self._shown}: {reason}", status)


def repository_of(location: Location) -> tuple[str, str, str]:
    """Return the repository, the path in it and the revision, which is empty where the URI has none."""
    parts = [part for part in f"{location.root}/{location.path}".split("/") if part]
    owned = parts[:2] if "@" not in parts[0] else parts[:1]  # one component and a revision: a name without owner
    repository, _, revision = "/".join(owned).partition("@")
    return repository, "/".join(parts[len(owned) :]), unquote(revision)
