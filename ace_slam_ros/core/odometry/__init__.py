"""Seeded refinement of poses: image tracks with depth, window adjustment, rolling shutter."""
