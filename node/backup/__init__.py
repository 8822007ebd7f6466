"""node.backup - snapshots as folders: made of a running or a stopped node, listed, checked, restored to any archived height."""
