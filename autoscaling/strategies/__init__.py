"""The strategies, one module for each; `autoscaling.autoscaler` has their table."""
