"""Profiles: what one replica of a deployment carries inside an SLO, measured or by the queue model."""
