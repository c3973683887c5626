"""What the simulated engine understands and says: requests, tokens, answers, errors, streams."""
