"""Certificates for tests, made by openssl."""

import subprocess
from pathlib import Path


def a_certificate(folder: Path, name: str = "users") -> tuple[Path, Path]:
    """Make a self-signed certificate for 127.0.0.1 and its key; return their paths."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv += ["-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*argv, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key
