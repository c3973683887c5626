"""What requests cost: estimates before, the end as Envoy reports it, settlement, and the ledger of open requests."""
