"""The web console: what gateways decide, what users may still use, and changes of both, in a browser."""
