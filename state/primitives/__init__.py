"""state.primitives - the floor everybody stands on: codec, hashes, keys, ids, limits, errors."""
