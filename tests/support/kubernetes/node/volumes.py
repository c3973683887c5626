"""The volumes of a pod as directories, and what its containers see of them.

Lives here: ConfigMaps, Secrets, tokens of service accounts, fields of the pod, empty and claimed directories.  Not
here: mounting (confine).  A file is written once, when the pod starts.  What a pod needs and does not find is Missing.
hostPath is left out: a process sees the machine's files anyway.
"""

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from kube.client import Client
from kube.errors import NotFound
from kube.objects import Kind, Object, body
from tests.support.kubernetes.node.objects import Json, Pod

Contents = Mapping[str, bytes]
"""Path in a volume, or name of a variable -> what it has."""
Mounts = Sequence[tuple[str, str, bool]]
"""Source, target, whether it can only be read; outer targets first."""
TOKEN_S = 3607
"""Seconds that a token holds, as admission asks for: longer than any test."""


class Bag(Object, frozen=True, rename="camel"):
    """A ConfigMap or a Secret."""

    data: dict[str, str] = msgspec.field(default_factory=dict)
    binary_data: dict[str, str] = msgspec.field(default_factory=dict)


class TokenStatus(msgspec.Struct, frozen=True):
    token: str = ""


class Token(Object, frozen=True):
    status: TokenStatus = TokenStatus()


CONFIG_MAPS = Kind("", "v1", "ConfigMap", "configmaps", Bag)
SECRETS = Kind("", "v1", "Secret", "secrets", Bag)


class Missing(Exception):
    """The pod cannot start yet: something that it names is not there."""


class Volumes:
    """The volumes of one pod."""

    def __init__(self, client: Client, pod: Pod, fields: Mapping[str, str], directory: Path, claims: Path) -> None:
        self._client = client
        self._pod = pod
        self._namespace = pod.metadata.namespace
        self._fields = fields
        self._directory = directory
        self._claims = claims
        self._roots: dict[str, Path] = {}

    async def make(self) -> None:
        """Write all files.  Raises Missing, and whatever the client raises."""
        for volume in self._pod.spec.volumes:
            name, claim = volume["name"], volume.get("persistentVolumeClaim")
            root = self._claims / self._namespace / claim["claimName"] if claim else self._directory / name
            root.mkdir(parents=True, exist_ok=True)
            root.chmod(0o777)
            for path, content in (await self._contents(volume)).items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(content)
            if "hostPath" not in volume:
                self._roots[name] = root

    def mounts(self, container: Json) -> Mounts:
        """Return the mounts of a container."""
        made = []
        for one in container.get("volumeMounts", []):
            if root := self._roots.get(one["name"]):
                source = root / one.get("subPath", "")
                if not source.exists():
                    source.mkdir(parents=True)
                made.append((str(source), one["mountPath"], bool(one.get("readOnly"))))
        return sorted(made, key=lambda mount: mount[1])

    async def variables(self, container: Json) -> dict[str, str]:
        """The variables that a container has from ConfigMaps and Secrets.  Raises Missing."""
        made: dict[str, str] = {}
        for source in container.get("envFrom", []):
            found = await self._bag(source.get("configMapRef"), source.get("secretRef"))
            made |= {source.get("prefix", "") + key: value.decode() for key, value in found.items()}
        for entry in container.get("env", []):
            source = entry.get("valueFrom", {})
            wanted = source.get("configMapKeyRef") or source.get("secretKeyRef")
            if wanted:
                found = await self._bag(source.get("configMapKeyRef"), source.get("secretKeyRef"))
                if wanted["key"] in found:
                    made[entry["name"]] = found[wanted["key"]].decode()
                elif not wanted.get("optional"):
                    raise Missing(f"couldn't find key {wanted['key']} in {self._namespace}/{wanted['name']}")
        return made

    async def _contents(self, volume: Json) -> Contents:
        made: dict[str, bytes] = {}
        for source in volume.get("projected", {"sources": [volume]})["sources"]:
            if "serviceAccountToken" in source:
                made[source["serviceAccountToken"]["path"]] = await self._token(source["serviceAccountToken"])
            elif "downwardAPI" in source:
                for item in source["downwardAPI"]["items"]:
                    made[item["path"]] = self._fields[item["fieldRef"]["fieldPath"]].encode()
            else:
                made |= _chosen(source, await self._bag(source.get("configMap"), source.get("secret")))
        return made

    async def _bag(self, config_map: Json | None, secret: Json | None) -> Contents:
        """All that a ConfigMap or a Secret has."""
        kind, named = (CONFIG_MAPS, config_map) if config_map is not None else (SECRETS, secret)
        if named is None:
            return {}
        name = named.get("name") or named["secretName"]
        try:
            found = await self._client.get(kind, name, self._namespace)
        except NotFound:
            if named.get("optional"):
                return {}
            raise Missing(f'{kind.name.lower()} "{name}" not found') from None
        coded = found.binary_data if config_map is not None else found.data
        plain = {key: value.encode() for key, value in found.data.items()} if config_map is not None else {}
        return plain | {key: base64.b64decode(value) for key, value in coded.items()}

    async def _token(self, wanted: Json) -> bytes:
        meta, account = self._pod.metadata, self._pod.spec.service_account_name or "default"
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta.name, "uid": meta.uid}
        spec: dict[str, Any] = {"expirationSeconds": wanted.get("expirationSeconds", TOKEN_S), "boundObjectRef": bound}
        if audience := wanted.get("audience"):
            spec["audiences"] = [audience]
        tokens = Kind("", "v1", "ServiceAccount", f"serviceaccounts/{account}/token", Token)
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        made = await self._client.create(tokens, {**body(tokens, "", self._namespace, spec=spec), **asked})
        return made.status.token.encode()


def _chosen(source: Json, found: Contents) -> Contents:
    """The part of a ConfigMap or Secret that a source takes: all, or items at paths of their own."""
    items = (source.get("configMap") or source.get("secret") or {}).get("items")
    return found if items is None else {one["path"]: found[one["key"]] for one in items if one["key"] in found}


def resolver(directory: Path, namespace: str, server: str) -> tuple[str, str, bool]:
    """The mount that makes names of Services known in a namespace's pods."""
    file = directory / f"{namespace}.resolv.conf"
    domain = "svc.cluster.local"
    text = f"nameserver {server}\nsearch {namespace}.{domain} {domain} cluster.local\noptions ndots:5\n"
    if not file.exists():
        made = file.with_suffix(f".{os.getpid()}")
        made.write_text(text)
        made.replace(file)
    return str(file), "/etc/resolv.conf", True
