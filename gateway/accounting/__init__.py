"""The cost of requests: estimates beforehand, their end as Envoy reports it, settlement, the ledger of requests."""
