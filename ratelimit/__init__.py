"""Per-user limits over any 60 seconds, exact across replicas; `limits` has the vocabulary."""
