"""The configuration file: its settings, how it is read and checked, its JSON schema and its reference page."""
