"""Other views of a query: made, and looked at until one gives a sure pose."""
