"""`forebay simulate`: the gateway's own fleet, queue and limits, joined to the simulator's engines and traces."""
