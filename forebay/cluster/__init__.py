"""The process beside the gateway in a Kubernetes cluster, which runs the controllers; one of several equal ones."""
