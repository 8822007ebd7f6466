"""p2p - who may speak, and how: identities, TLS, frames, peers."""
