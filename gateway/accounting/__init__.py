"""What requests cost: estimates beforehand, their end as Envoy reports it, settlement, the ledger of open requests."""
