"""node.indexer - rows that find transactions by what their events say, written with the block itself."""
