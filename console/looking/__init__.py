"""Looking at gateways from outside: calls of their HTTP addresses, readings of their pages, differences of these."""
