"""Replicas tell each other through Redis what they do: messages, who is there, sending and receiving."""
