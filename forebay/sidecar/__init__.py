"""The process that stands beside an engine: `forebay runtime`."""
