"""consensus - which block is next: the Tendermint state machine and its byte-exact types. Pure."""
