"""Certificates that change on disk while connections come."""

import os
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.config.problems import ConfigurationError
from gateway.config.settings import Settings
from gateway.serving.certificates import Certificates, certificates_of
from tests.support.certificates import Authority, an_authority


class Files:
    """The three files as a mounted Secret holds them: a folder of links, all replaced in one step."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._version = 0
        self.ca = an_authority(folder)
        self.replace(*self.ca.sign("first"), self.ca.cert)
        for name in ("cert", "key", "ca"):
            (folder / name).symlink_to(f"data/{name}")

    def replace(self, cert: Path, key: Path, ca: Path) -> None:
        self._version += 1
        fresh = self._folder / f"version-{self._version}"
        fresh.mkdir()
        for name, file in (("cert", cert), ("key", key), ("ca", ca)):
            shutil.copy(file, fresh / name)
        link = self._folder / "data.new"
        link.symlink_to(fresh)
        link.replace(self._folder / "data")

    def settings(self) -> Settings:
        names = {"cert": "cert", "key": "key", "client_ca": "ca"}
        return Settings.model_validate({"listen": {"tls": {key: str(self._folder / f) for key, f in names.items()}}})


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def logs() -> Iterator[list[dict[str, object]]]:
    with capture_logs() as captured:
        yield captured


def looked(certificates: Certificates, times: int = 4) -> None:
    for _ in range(times):
        certificates.look()


def subject(context: ssl.SSLContext, ca: Authority) -> str:
    """The common name of the certificate that a client gets in a handshake."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.create_default_context(cafile=str(ca.cert))
    trusting.load_cert_chain(*ca.sign("client"))
    client = trusting.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    shown = client.getpeercert()
    assert shown
    return str(dict(pair for [pair] in shown["subject"])["commonName"])


def test_without_a_certificate_there_are_none():
    assert certificates_of(Settings()) is None


def test_files_that_are_not_there_at_the_start_are_an_error(tmp_path: Path):
    files = Files(tmp_path)
    (tmp_path / "key").unlink()

    with pytest.raises(ConfigurationError, match=r"^listen\.tls\.key = .*, no such file$"):
        Certificates(files.settings())


def test_new_files_are_for_new_connections_of_every_server(files: Files, logs: list[dict[str, object]]):
    certificates = Certificates(files.settings())
    before, pages = certificates.loaded.grpc, certificates.pages_context()
    assert "first" == subject(before, files.ca) == subject(pages, files.ca)

    files.replace(*files.ca.sign("second"), files.ca.cert)
    looked(certificates)

    assert "first" == subject(before, files.ca)
    assert "second" == subject(certificates.loaded.grpc, files.ca) == subject(pages, files.ca)
    assert ["certificates_loaded"] == [line["event"] for line in logs]


def test_an_authority_that_was_removed_is_trusted_no_more(files: Files, tmp_path: Path):
    certificates = Certificates(files.settings())
    other = an_authority(tmp_path, "other")

    files.replace(*files.ca.sign("second"), other.cert)
    looked(certificates)

    with pytest.raises(ssl.SSLCertVerificationError):
        subject(certificates.loaded.grpc, files.ca)
    assert other.cert.read_bytes() == certificates.loaded.client_ca


def test_what_is_broken_keeps_the_last_good_ones_and_is_said_once(
    files: Files, tmp_path: Path, logs: list[dict[str, object]]
):
    certificates = Certificates(files.settings())
    cert, key = files.ca.sign("second")
    _, of_another = files.ca.sign("third")
    empty = tmp_path / "empty"
    empty.touch()

    for broken in ((cert, of_another, files.ca.cert), (cert, empty, files.ca.cert), (cert, key, empty)):
        files.replace(*broken)
        looked(certificates)
        assert "first" == subject(certificates.loaded.grpc, files.ca)
    (tmp_path / "data").unlink()
    looked(certificates)
    files.replace(cert, key, files.ca.cert)
    looked(certificates)

    assert "second" == subject(certificates.loaded.grpc, files.ca)
    assert [*["certificates_kept"] * 4, "certificates_loaded"] == [line["event"] for line in logs]
    assert "must be the key of listen.tls.cert" in str(logs[0]["problems"])
    assert "listen.tls.client_ca" in str(logs[2]["problems"])
    assert "no such file" in str(logs[3]["problems"])


def test_files_that_are_replaced_one_after_the_other_are_read_when_they_stand_still(
    files: Files, tmp_path: Path, logs: list[dict[str, object]]
):
    certificates = Certificates(files.settings())
    cert, key = files.ca.sign("second")

    for name, file in (("cert", cert), ("key", key)):
        fresh = tmp_path / f"{name}.new"
        shutil.copy(file, fresh)
        os.replace(fresh, tmp_path / name)  # noqa: PTH105 - the link itself
        certificates.look()
    certificates.look()

    assert "second" == subject(certificates.loaded.grpc, files.ca)
    assert ["certificates_loaded"] == [line["event"] for line in logs]


def test_a_change_that_keeps_size_and_time_is_seen_as_one_of_permissions_is(
    files: Files, logs: list[dict[str, object]], tmp_path: Path
):
    cert, size = tmp_path / "cert", len((tmp_path / "cert").read_bytes())
    good, times = cert.read_bytes(), (cert.stat().st_atime_ns, cert.stat().st_mtime_ns)
    certificates = Certificates(files.settings())

    for content in (b"x" * size, good):
        cert.write_bytes(content)
        os.utime(cert, ns=times)
        looked(certificates)

    assert ["certificates_kept", "certificates_loaded"] == [line["event"] for line in logs]
