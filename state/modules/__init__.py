"""state.modules - one file per family of native operations."""
