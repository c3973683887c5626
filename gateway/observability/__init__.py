"""What operators see: metrics, logs, and the HTTP pages that show them."""
