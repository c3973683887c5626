"""Our server of Kubernetes' metrics APIs, so that any HorizontalPodAutoscaler scales on what we measure."""
