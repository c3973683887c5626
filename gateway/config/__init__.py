"""The one configuration file: its settings, how it is read and checked, and the reference page made from it."""
