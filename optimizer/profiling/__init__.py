"""Profiles made: measured points, the highest rate inside an SLO, the fit of the queue model, where profiles go."""
