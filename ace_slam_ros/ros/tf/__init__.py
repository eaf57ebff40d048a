"""Transforms: tf2_ros where this process uses it, the TF topics by our own code elsewhere."""
