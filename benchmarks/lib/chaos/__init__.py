"""A storm over three live nodes: what is done to them, what they did, and what that is worth."""
