"""Output for operators: metrics, logs, and the HTTP pages of `listen.http`."""
