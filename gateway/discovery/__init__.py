"""Where the pods are."""
