"""What operators read: metrics, logs, and the HTTP pages of `listen.http`."""
