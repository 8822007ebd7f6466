"""node.telemetry - what the node tells its operator: logs and metrics. Off the consensus path."""
