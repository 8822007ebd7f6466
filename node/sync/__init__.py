"""node.sync - catching up with the others: certified blocks from peers, verified with our own validator set."""
