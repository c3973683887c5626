"""One gateway process: the composition root, its servers, its place among siblings, readiness and the orderly end."""
