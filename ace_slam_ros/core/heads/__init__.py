"""Scene heads: descriptor -> scene coordinates with uncertainty."""
