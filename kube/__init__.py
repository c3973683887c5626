"""The way to a Kubernetes API server: what every controller and the discovery of pods stand on.  Knows none of them."""
