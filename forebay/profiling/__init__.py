"""Measures engines at a load: engine models in virtual time, and live engines."""
