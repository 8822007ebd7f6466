"""node.mempool - transactions that wait for a block: admitted once, checked again only where a block touched them."""
