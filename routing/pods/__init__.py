"""Each pod's state: the load sent to it, its learned speed, its time per token, and its engine's own totals."""
