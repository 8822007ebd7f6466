"""The audit log: who did what to this node, in a file whose lines are chained by hashes and anchored in the chain."""
