"""How many replicas there should be, from what is seen now; pure: time and observations come in, decisions go out."""
