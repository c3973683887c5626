"""Measures the whole stack beside its yardsticks: `python -m bench`."""
