"""Probing of engines: health checks, scraping of metrics, and when each engine is asked."""
