"""Traffic of models: what gateways count of it for planners, and the plans that come back, in formats both sides know.

Imports nothing of ours.
"""
