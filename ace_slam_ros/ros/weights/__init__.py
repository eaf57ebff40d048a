"""Head weights and sessions between the nodes."""
