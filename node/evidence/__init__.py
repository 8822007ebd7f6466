"""Proofs of offences between the wire and the block: the pool that waits, the gossip that spreads, the chain that judges."""
