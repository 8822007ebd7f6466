"""The published description of the RPC, held against a running node by a tool that knows nothing of this project."""
