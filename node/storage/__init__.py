"""node.storage - one LevelDB, one synchronous write for each height."""
