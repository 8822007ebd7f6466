"""Who signs for this node: its own keys, or a signer in another process; and how a validator gets new keys."""
