"""The section `kubernetes`.

Lives here: its keys.  Not here: those of the whole file (settings), following a cluster (gateway.discovery.kubernetes).
"""

from gateway.config.section import Section


class KubernetesSettings(Section):
    """Engines that are pods of a Kubernetes cluster, found by their labels, instead of `models`."""

    enabled: bool = False
    """Whether pods with the label `model.aibrix.ai/name` are the engines.  Needs the extra `kubernetes`."""
    namespace: str = ""
    """The namespace of the pods.  Empty: all namespaces."""
    kubeconfig: str = ""
    """The kubeconfig whose current context is the cluster.  Empty: that of the pod in which the gateway runs, by its
    service account.  A relative path starts at the folder of this file."""
