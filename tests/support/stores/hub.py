"""A stand-in for the Hugging Face Hub's API: what its client asks about a model; large files are elsewhere."""

import hashlib
from collections.abc import Mapping
from typing import Any

from tests.support.stores.file_server import Site

LARGE = 1000
"""Bytes from which on a file is in large-file storage."""


def commit(revision: str = "main") -> str:
    """The commit that a revision names."""
    return hashlib.sha1(revision.encode()).hexdigest()


def add_model(site: Site, repository: str, files: Mapping[str, bytes], revision: str = "main") -> None:
    """Put a model onto a site, as the Hub answers for it."""
    sha = commit(revision)
    about: dict[str, Any] = {"id": repository, "modelId": repository, "sha": sha, "tags": [], "private": False}
    about["siblings"] = [_sibling(name, content) for name, content in files.items()]
    site.pages[f"/api/models/{repository}/revision/{revision}"] = about
    for name, content in files.items():
        path = f"/{repository}/resolve/{sha}/{name}"
        if len(content) < LARGE:
            site.files[path] = content
        else:
            site.files[f"/large/{repository}/{name}"] = content
            site.redirects[path] = f"/large/{repository}/{name}?X-Signature=secret"


def _sibling(name: str, content: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    sibling: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": blob}
    if len(content) >= LARGE:
        digest = hashlib.sha256(content).hexdigest()
        sibling["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
    return sibling
