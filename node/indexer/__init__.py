"""node.indexer - what was: rows that find transactions, written with the block; and the index of all history, made beside the chain."""
