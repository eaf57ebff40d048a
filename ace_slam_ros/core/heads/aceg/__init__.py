"""A head whose map is a list of tokens that a regressor attends to (after ACE-G)."""
