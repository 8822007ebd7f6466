"""What an operator does to the home of a stopped node: look, check, go back, carry state away and bring it in, compare."""
