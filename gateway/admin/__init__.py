"""The REST interface for administrators."""
