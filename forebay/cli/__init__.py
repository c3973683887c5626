"""The command line: the commands with their options and required extras, and how errors are shown."""
