"""genesis - how a network begins: the document, its first state, the files of a local network."""
