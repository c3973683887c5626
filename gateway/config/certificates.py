"""The check of the files of TLS: certificates, their keys, authorities.

Lives here: reading the files and comparing them, for the gateway, for its Envoy, or for both.  Not here: where they are
named (tls), serving TLS (gateway.serving.tls, gateway.envoy).
"""

import re
import ssl
from collections.abc import Iterator
from pathlib import Path

from gateway.config.apis import ApiSettings
from gateway.config.settings import Settings

_KEY = re.compile(rb"[!-~]+")


def all_file_problems(settings: Settings) -> Iterator[str]:
    """Yield a line for each thing that is wrong with any file; nothing where no file is named."""
    yield from gateway_file_problems(settings)
    yield from envoy_file_problems(settings)


def gateway_file_problems(settings: Settings) -> Iterator[str]:
    """Yield the same for those that the gateway reads."""
    tls = settings.listen.tls
    yield from _pair_problems("listen.tls", tls.cert, tls.key)
    yield from _authority_problems("listen.tls.client_ca", tls.client_ca)


def envoy_file_problems(settings: Settings) -> Iterator[str]:
    """Yield the same for those that Envoy reads."""
    users, gateways = settings.envoy.tls, settings.envoy.gateway_tls
    yield from _pair_problems("envoy.tls", users.cert, users.key)
    yield from _pair_problems("envoy.gateway_tls", gateways.cert, gateways.key)
    yield from _authority_problems("envoy.gateway_tls.ca", gateways.ca)
    for index, pool in enumerate(settings.pools):
        if pool.api is not None:
            yield from _api_problems(f"pools[{index}].api", pool.api)


def rendered_problems(settings: Settings) -> Iterator[str]:
    """Yield the same for an Envoy whose configuration is rendered from the settings, and what it lacks.

    Envoy must speak TLS where its own gateways do, and only there; one that other software configures may know by other
    means.
    """
    yield from envoy_file_problems(settings)
    listen, gateways = settings.listen.tls, settings.envoy.gateway_tls
    if settings.envoy.gateways:
        return
    if "grpc" not in listen.on:
        if gateways.ca:
            yield f"envoy.gateway_tls.ca = {gateways.ca}, must be empty: listen.tls has grpc speak plain text"
        return
    if not gateways.ca:
        yield "envoy.gateway_tls.ca is missing: must name the authority of listen.tls.cert"
    if listen.client_ca and not gateways.cert:
        yield "envoy.gateway_tls.cert is missing: must be a certificate by listen.tls.client_ca"


def _pair_problems(section: str, cert: str, key: str) -> Iterator[str]:
    if not (cert and key):
        return
    named = {f"{section}.cert": cert, f"{section}.key": key}
    unreadable = [f"{name} = {file}, {why}" for name, file in named.items() if (why := _why_unreadable(file))]
    yield from unreadable
    if unreadable:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: b"")
    except ssl.SSLError as error:
        is_of_another = error.reason == "KEY_VALUES_MISMATCH"
        rule = f"must be the key of {section}.cert" if is_of_another else "must be a PEM key without a password"
        yield f"{section}.key = {key}, {rule}, and {section}.cert a PEM certificate"


def _api_problems(section: str, api: ApiSettings) -> Iterator[str]:
    yield from _authority_problems(f"{section}.ca", api.ca)
    if api.key_file:
        name = f"{section}.key_file = {api.key_file}"
        if why := _why_unreadable(api.key_file):
            yield f"{name}, {why}"
        elif not _KEY.fullmatch(Path(api.key_file).read_bytes().strip()):
            yield f"{name}, must hold an API key alone, without blanks"


def _authority_problems(name: str, file: str) -> Iterator[str]:
    if not file:
        return
    if why := _why_unreadable(file):
        yield f"{name} = {file}, {why}"
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(file)
    except ssl.SSLError:
        yield f"{name} = {file}, must hold PEM certificates"


def _why_unreadable(path: str) -> str:
    try:
        Path(path).read_bytes()
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""
