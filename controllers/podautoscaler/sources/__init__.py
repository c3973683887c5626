"""The places where metrics come from: pods, URLs, the metrics APIs of the cluster, and the traffic in Redis."""
