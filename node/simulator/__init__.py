"""node.simulator - doubles for the edges of a node: a network inside one process, and whole networks of real nodes on it."""
