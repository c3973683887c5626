"""A real kube-apiserver with etcd, in a folder and on loopback ports of their own.

Lives here: the two processes, their restarts, and the way in with `kubectl`.  Not here: building them
(tests/kubernetes/build.py).
"""

import json
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.certificates import an_authority
from tests.support.kubernetes.node.network import GATEWAY
from tests.support.ports import free_port
from tests.support.source_tree import ROOT
from tests.support.waiting import until

START_DEADLINE_S = 120.0
STATE = "state-2"
"""Name of what is kept of etcd beside the programs; another one when `_install` makes something else."""
AUTHORITY, FRONT_PROXY = "front-proxy-ca", "front-proxy"
"""Names of the certificates by which servers of further APIs know the API server."""
TOKEN = "admin-token"  # of a server that only this machine reaches


class Program:
    """A process with a log; it is killed when the process of the test dies, whatever happens to that."""

    def __init__(self, folder: Path, *command: str | Path, where: Path | None = None, log: str = "") -> None:
        self._log = folder / f"{log or Path(command[0]).name}.log"
        argv = ["setpriv", "--pdeathsig", "KILL", "--", *command]
        with self._log.open("ab") as file:
            self._process = subprocess.Popen(
                argv, cwd=where or folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )

    def check(self) -> None:
        """Fail with the end of the log where the process has ended."""
        assert self._process.poll() is None, self._log.read_text()[-4000:]

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        self._process.send_signal(how)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class ControlPlane:
    """One API server that can be killed and started again with all that it knew."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self._programs = programs
        self._etcd_url = f"http://127.0.0.1:{free_port()}"
        self._peer_url = f"http://127.0.0.1:{free_port()}"
        self._port = free_port()
        self.url = f"https://{GATEWAY}:{self._port}"
        self.kubeconfig = folder / "kubeconfig"
        self._etcd: Program | None = None
        self._server: Program | None = None
        self._controllers: Program | None = None
        self._services: Program | None = None
        self._nodes: list[Program] = []

    def start(self) -> None:
        """Start with a copy of what etcd has after a first start; return once the server is ready."""
        state = self._programs / STATE
        if not state.exists():
            _make_state(state, self._programs)
        # The log of etcd is 128 MB, nearly all of them zeros.
        subprocess.run(["cp", "--recursive", "--sparse=always", state, self.folder / "etcd"], check=True)
        self.start_with_what_is_there()

    def start_with_what_is_there(self) -> None:
        """Start with the data in the folder, if any; return once the server is ready."""
        _make_keys(self.folder)
        (self.folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        self.kubeconfig.write_text(json.dumps(self._kubeconfig()))
        self._etcd = Program(
            self.folder, self._programs / "etcd", "--data-dir=etcd", "--unsafe-no-fsync", "--log-level=warn",
            f"--listen-client-urls={self._etcd_url}", f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={self._peer_url}", f"--initial-advertise-peer-urls={self._peer_url}",
            f"--initial-cluster=default={self._peer_url}",
        )  # fmt: skip
        self.start_server()
        self.wait()

    def start_server(self) -> None:
        """Start the API server.  It dies with the thread that calls this."""
        self._server = Program(
            self.folder, self._programs / "kube-apiserver", f"--etcd-servers={self._etcd_url}",
            f"--bind-address={GATEWAY}", f"--advertise-address={GATEWAY}", f"--secure-port={self._port}",
            "--cert-dir=.", "--token-auth-file=tokens.csv", "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--service-account-key-file=accounts.pub", "--service-account-signing-key-file=accounts.key",
            "--allow-privileged=true", "--enable-aggregator-routing=true",
            f"--requestheader-client-ca-file={AUTHORITY}.crt", f"--requestheader-allowed-names={FRONT_PROXY}",
            f"--proxy-client-cert-file={FRONT_PROXY}.crt", f"--proxy-client-key-file={FRONT_PROXY}.key",
            "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        )  # fmt: skip

    def wait(self) -> None:
        """Return once the API server is ready."""
        until(self._is_ready, limit_s=START_DEADLINE_S, every_s=0.1)

    def start_controllers(self) -> None:
        """Start the controllers of Kubernetes itself: Deployments make pods, owners take theirs with them."""
        self._controllers = Program(
            self.folder, self._programs / "kube-controller-manager", f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false", "--bind-address=127.0.0.1", f"--secure-port={free_port()}", "--cert-dir=.",
            "--service-account-private-key-file=accounts.key", "--root-ca-file=apiserver.crt", "--controllers=*",
            "--node-monitor-grace-period=20s", "--horizontal-pod-autoscaler-sync-period=2s",
            "--horizontal-pod-autoscaler-downscale-stabilization=5s",
        )  # fmt: skip

    def start_node(self, *options: str | Path) -> None:
        """Start a node; see tests/support/kubernetes/node/node.py for its options."""
        self._nodes.append(self._start_module("node", "--state", self.folder, *options))

    def start_services(self) -> None:
        """Serve addresses and names of Services."""
        self._services = self._start_module("services")

    def _start_module(self, name: str, *options: str | Path) -> Program:
        module = f"tests.support.kubernetes.node.{name}"
        argv = (sys.executable, "-m", module, "--kubeconfig", self.kubeconfig, *options)
        return Program(self.folder, *argv, where=ROOT, log=name)

    def check(self) -> None:
        """Fail with the log of a node, of Services or of controllers that have ended."""
        for program in (*self._nodes, self._services, self._controllers):
            if program is not None:
                program.check()

    def kubectl(self, *arguments: str | Path, given: str = "") -> str:
        """Run it and return what it prints; `given` is its standard input.  Fails with what it says."""
        self.check()
        options = (f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.folder}/kubectl")
        command = [self._programs / "kubectl", *options, *arguments]
        done = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def kill_node(self) -> None:
        """kill -9 of the node that was started last, which its pods' processes do not outlive."""
        self._nodes.pop().stop()

    def kill_server(self) -> None:
        """kill -9 of the API server; etcd goes on."""
        assert self._server is not None
        self._server.stop()

    def stop(self) -> None:
        for program in (*self._nodes, self._services, self._controllers, self._server, self._etcd):
            if program is not None:
                program.stop(signal.SIGTERM)

    def _is_ready(self) -> bool:
        """Ask the API server.  Raises OSError while it does not answer that it is."""
        assert self._server is not None
        self._server.check()
        context = ssl.create_default_context(cafile=self.folder / "apiserver.crt")
        request = urllib.request.Request(f"{self.url}/readyz", headers={"authorization": f"Bearer {TOKEN}"})  # noqa: S310 - https
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:  # noqa: S310 - the same
            return bool(answer.status == 200)

    def _kubeconfig(self) -> Mapping[str, Any]:
        cluster = {"server": self.url, "certificate-authority": str(self.folder / "apiserver.crt")}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }


def _make_keys(folder: Path) -> None:
    """Make the key that signs tokens of service accounts, and the certificate of the front proxy."""
    an_authority(folder, AUTHORITY).sign(FRONT_PROXY)
    key, public = folder / "accounts.key", folder / "accounts.pub"
    for arguments in (
        ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key],
        ["ec", "-in", key, "-pubout", "-out", public],
    ):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _make_state(state: Path, programs: Path) -> None:
    """Keep what etcd has after the first start of a server: a later start has less to do."""
    with TemporaryDirectory(dir=programs) as scratch:
        plane = ControlPlane(Path(scratch), programs)
        try:
            plane.start_with_what_is_there()
            _install(plane, programs)
        finally:
            plane.stop()
        with suppress(OSError):  # another process was faster
            (Path(scratch) / "etcd").rename(state)


def _install(plane: ControlPlane, programs: Path) -> None:
    """Install what takes long: the kinds of Envoy Gateway and of the Gateway API, and its certificates."""
    plane.kubectl("apply", "--server-side", "-R", "-f", programs / "crds")
    plane.kubectl("create", "namespace", "envoy-gateway-system")
    command = [programs / "envoy-gateway", "certgen", "--disable-topology-injector"]
    environment = {"KUBECONFIG": str(plane.kubeconfig), "ENVOY_GATEWAY_NAMESPACE": "envoy-gateway-system"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def control_plane(folder: Path, programs: Path) -> Iterator[ControlPlane]:
    """Run one for the length of a block."""
    plane = ControlPlane(folder, programs)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()
