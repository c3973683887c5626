"""What is known of each pod: the load that was sent to it, its learned speed, its pace per token, its engine's sums."""
