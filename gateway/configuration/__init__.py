"""Reads the one configuration file into `gateway.settings.Settings`, or says everything that is wrong with it."""

from gateway.configuration.loading import load, load_models
from gateway.configuration.problems import ConfigurationError

__all__ = ["ConfigurationError", "load", "load_models"]
