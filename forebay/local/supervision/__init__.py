"""Supervision of local processes: start them, wait until they are ready, restart them, stop them in order."""
