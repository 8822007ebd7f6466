"""node.bench - measurements of real transactions, printed as text or JSON."""
