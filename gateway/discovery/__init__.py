"""Discovery of engines and the models that they serve, and the probes of whether they answer."""
