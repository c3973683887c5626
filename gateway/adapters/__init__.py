"""LoRA adapters that the admin REST was told to load: kept in Redis, loaded and loaded again by one of all replicas."""
