"""Calls of the Kubernetes API, on lightkube's reading of kubeconfigs, its authentication and its TLS.

Lives here: one method per verb, pages of lists, lines of watches, as values or as one of our errors.  Not here: when to
call and when to call again (informer, queue).  lightkube's own verbs are not used: its watch asks for no bookmarks, has
no timeout, and splits lines at characters that JSON leaves as they are (docs/decisions/0019).
"""

import socket
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import httpx2
import msgspec
import structlog
from lightkube.config.client_adapter import user_auth, verify_cluster
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError
from yaml import YAMLError

from kube.errors import NoWayError, Unreachable, from_answer
from kube.objects import Event, Kind, Object, Resource, Told, read_list, read_metadata, read_resources, read_told, root

T = TypeVar("T", bound=Object)

PAGE_ITEMS = 500
"""Objects per page of a list, as kubectl asks for: 4 MB of pods."""
APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
) + (((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),) if hasattr(socket, "TCP_KEEPIDLE") else ())
"""A server that vanished without a word is noticed after 40 s, although an idle watch sends nothing."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the client waits, in seconds."""

    connect_s: float = 5.0
    answer_s: float = 30.0  # for the next bytes of an answer; the server itself gives up after 60 s
    silence_s: float = 150.0  # of a watch; the server sends a bookmark about every 60 s
    watch_s: int = 300  # how long a watch lasts, after which it is taken up again; client-go: 300 to 600 s


class Selection(NamedTuple):
    """Some objects of a kind: of one namespace (or all), with these labels: a selector as kubectl's."""

    namespace: str = ""
    labels: str = ""

    def query(self) -> dict[str, str]:
        """Return what to ask for, beside the namespace."""
        return {"labelSelector": self.labels} if self.labels else {}


ALL = Selection()


class Client:
    """Calls to one API server; what it writes belongs to the field manager `manager`.

    Every method raises ApiError, the narrowest one (errors), and nothing else.
    """

    def __init__(self, config: SingleConfig, manager: str, timeouts: Timeouts | None = None) -> None:
        self.manager = manager
        self._timeouts = wait = timeouts or Timeouts()
        self._watch_timeout = httpx2.Timeout(wait.answer_s, connect=wait.connect_s, read=wait.silence_s)
        user = config.user or User()  # nobody, as through `kubectl proxy`
        self._http = httpx2.AsyncClient(
            base_url=config.cluster.server,
            auth=user_auth(user),
            headers={"accept": "application/json", "accept-encoding": "identity", "user-agent": manager},
            timeout=httpx2.Timeout(wait.answer_s, connect=wait.connect_s),
            transport=httpx2.AsyncHTTPTransport(
                verify=verify_cluster(config.cluster, user, config.abs_file), socket_options=KEEPALIVE
            ),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, kind: Kind[T], name: str, namespace: str = "", subresource: str = "") -> T:
        """Return the object, or its subresource, of which `kind` then has the model."""
        return _decode(kind, await self._call("GET", kind.path(namespace, name, subresource)))

    async def resources(self, group: str, version: str) -> Sequence[Resource]:
        """Return what the server has of this version of a group, subresources too.  Raises NotFound if it has none."""
        answer = await self._call("GET", root(group, version))
        with _understood():
            return read_resources(answer)

    async def list(self, kind: Kind[T], selection: Selection = ALL) -> tuple[list[T], str]:
        """Return the objects that there are now and the version to watch from; costs a call per PAGE_ITEMS objects."""
        objects: list[T] = []
        query = selection.query() | {"limit": str(PAGE_ITEMS)}
        while True:
            answer = await self._call("GET", kind.path(selection.namespace), query)
            with _understood():
                page = read_list(answer)
            objects.extend(_fitting(kind, page.objects))
            if not page.rest:
                return objects, page.version
            query["continue"] = page.rest

    async def watch(
        self, kind: Kind[T], version: str, selection: Selection = ALL
    ) -> AsyncGenerator[Sequence[Event[T]], None]:
        """Yield what changes after `version`, until the server ends the watch: all that arrived together at once.

        The first yield, of nothing, says that the server has accepted.  Raises Expired where the version is too old.
        """
        query = selection.query() | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(self._timeouts.watch_s),
        }
        with _reached():
            path = kind.path(selection.namespace)
            async with self._http.stream("GET", path, params=query, timeout=self._watch_timeout) as answer:
                if answer.is_error:
                    raise from_answer(answer.status_code, await answer.aread(), answer.headers.get("retry-after", ""))
                yield ()
                rest = b""
                async for piece in answer.aiter_bytes():
                    *lines, rest = (rest + piece).split(b"\n")
                    if lines:
                        with _understood():
                            events = [_event(kind, read_told(line)) for line in lines]
                        yield events

    async def create(self, kind: Kind[T], body: Mapping[str, Any]) -> T:
        """Create the object.  Raises AlreadyExists."""
        query = {"fieldManager": self.manager}
        return _decode(kind, await self._call("POST", kind.path(_place(body)[0]), query, body))

    async def replace(self, kind: Kind[T], body: Mapping[str, Any]) -> T:
        """Put the object in place of the one with the resource version in `body`.  Raises Conflict if it changed."""
        query = {"fieldManager": self.manager}
        return _decode(kind, await self._call("PUT", kind.path(*_place(body)), query, body))

    async def apply(self, kind: Kind[T], body: Mapping[str, Any], subresource: str = "", *, force: bool = False) -> T:
        """Make the fields in `body` ours with these values, and give up those of ours that it lacks.

        Creates the object where there is none.  Raises Conflict where others own one of the fields with another value
        (`owned_by_others`), unless `force`, which takes it over: for objects that nobody else should write.
        """
        query = {"fieldManager": self.manager, "force": str(force).lower()}
        path = kind.path(*_place(body), subresource)
        return _decode(kind, await self._call("PATCH", path, query, body, APPLY))

    async def merge(
        self, kind: Kind[T], name: str, namespace: str, fields: Mapping[str, Any], subresource: str = ""
    ) -> T:
        """Write these fields of the object, or of its subresource, whoever owns them; None removes one (RFC 7396)."""
        query = {"fieldManager": self.manager}
        path = kind.path(namespace, name, subresource)
        return _decode(kind, await self._call("PATCH", path, query, fields, MERGE))

    async def delete(
        self, kind: Kind[Any], name: str, namespace: str = "", uid: str = "", *, grace_s: int | None = None
    ) -> None:
        """Delete the object; with `uid` only this one.  Raises NotFound, or Conflict where the uid is another's.

        `grace_s` is how long a pod may take to end; None leaves that to the pod.
        """
        options: dict[str, Any] = {"preconditions": {"uid": uid}} if uid else {}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        await self._call("DELETE", kind.path(namespace, name), body=options)

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        media_type: str = "application/json",
    ) -> bytes:
        content = None if body is None else msgspec.json.encode(body)
        headers = {"content-type": media_type} if content is not None else {}
        with _reached():
            answer = await self._http.request(method, path, params=query, content=content, headers=headers)
            if answer.is_error:
                raise from_answer(answer.status_code, answer.content, answer.headers.get("retry-after", ""))
        return answer.content


def connection(kubeconfig: Path | None) -> SingleConfig:
    """Return how to reach the server: the current context of a kubeconfig, or (None) as the pod's service account.

    Raises NoWayError where that cannot be read.
    """
    try:
        config = KubeConfig.from_file(kubeconfig) if kubeconfig else KubeConfig.from_service_account()
        return config.get()  # type: ignore[return-value]  # None only where a default None is given
    except (ConfigError, OSError, YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
        source = f"kubeconfig = {kubeconfig}" if kubeconfig else "no kubeconfig is named, and this is no pod"
        raise NoWayError(f"{source}: {_why(error)}") from error


def _why(error: Exception) -> str:
    """Return why a kubeconfig cannot be used, in a line."""
    if isinstance(error, LookupError):
        return f"it lacks {error}"
    return str(error) if isinstance(error, ConfigError | OSError) else "it is no kubeconfig"


def _place(body: Mapping[str, Any]) -> tuple[str, str]:
    metadata = body["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _decode(kind: Kind[T], body: bytes) -> T:
    with _understood():
        return kind.decode(body)


def _fitting(kind: Kind[T], objects: Iterable[msgspec.Raw]) -> Iterator[T]:
    """Yield the objects, but leave out those that do not fit the model: one of them must not hide all others."""
    for raw in objects:
        try:
            yield kind.decode(raw)
        except msgspec.ValidationError as error:
            log.warning("kube_object_skipped", kind=kind.name, key=read_metadata(raw).key, why=str(error))


def _event(kind: Kind[T], told: Told) -> Event[T]:
    """Return the event.  Raises the error that an ERROR is."""
    if told.type == "ERROR":
        raise from_answer(0, bytes(told.object))
    if told.type == "BOOKMARK":
        return Event(told.type, read_metadata(told.object).resource_version, "", None)
    fitting = next(_fitting(kind, (told.object,)), None)
    metadata = fitting.metadata if fitting else read_metadata(told.object)
    return Event(told.type, metadata.resource_version, metadata.key, fitting)


@contextmanager
def _reached() -> Iterator[None]:
    """Turn every failure of connection and authentication into Unreachable."""
    try:
        yield
    except (httpx2.HTTPError, httpx2.StreamError, ConfigError, OSError) as error:
        raise Unreachable(f"{type(error).__name__}: {error}") from error


@contextmanager
def _understood() -> Iterator[None]:
    """Turn an answer that is no such object, as a proxy's page, into Unreachable."""
    try:
        yield
    except msgspec.MsgspecError as error:
        raise Unreachable(f"the answer is not what was asked for: {error}") from error
