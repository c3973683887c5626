"""One gateway process: its composition root, servers, readiness and drain, and how it is launched."""
