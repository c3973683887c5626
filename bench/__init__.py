"""The benchmark, `python -m bench`: Forebay beside Envoy alone and an empty ext_proc processor."""
