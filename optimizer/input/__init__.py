"""Reads numbers that people and files give, with all problems at once."""
