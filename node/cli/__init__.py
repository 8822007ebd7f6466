"""node.cli - the command `qenex`. Each file is one group of commands; what they do lives elsewhere."""
