"""PodAutoscalers: how many replicas targets should have, decided again and again, and written to their `/scale`."""
