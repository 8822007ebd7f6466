"""node.insight - what figures of a running node are likely to become. Off the consensus path; nothing reads it to decide."""
