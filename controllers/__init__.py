"""The controllers of a Kubernetes cluster: they make it as its objects ask for, in a room each."""
