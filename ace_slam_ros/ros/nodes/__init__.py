"""The tracker, mapper and relocalizer nodes, and the viewer."""
