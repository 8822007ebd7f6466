"""node.rpc - JSON-RPC as CometBFT's clients speak it, over POST, URI GET and WebSocket; and a Python client."""
