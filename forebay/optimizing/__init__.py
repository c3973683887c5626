"""The process that runs the optimizer: `forebay optimizer`."""
