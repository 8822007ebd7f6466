"""state - the deterministic ledger: what a transaction means. Pure: no clock, socket, disk, randomness, logging."""
