"""A light client: headers by signatures alone, from several nodes, and answers proved against them."""
