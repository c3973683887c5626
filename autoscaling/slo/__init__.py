"""Strategy SLO: replicas from a promise alone; what a pod can do, how long it starts and what will come is learned.

Lives here: start-up time, service curve, end of concurrency, demand ahead, requests in flight, and the decision.
Decision: docs/decisions/0033.
"""
