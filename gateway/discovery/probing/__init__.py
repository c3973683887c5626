"""Asking engines: health checks, scraping of their metrics, and when each is asked."""
