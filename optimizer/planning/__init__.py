"""From traffic to decisions: demand, deployments, how many replicas of each; questions about traces."""
