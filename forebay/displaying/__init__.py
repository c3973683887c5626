"""`forebay console`: the process of the web console."""
