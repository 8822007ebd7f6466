"""node.testnet - a local network of real processes: its files, its processes, its screen."""
