"""What several tests use: scenes, cameras, node processes, rendered worlds."""
