"""The command line: options, what each command needs installed, and how errors are shown."""
