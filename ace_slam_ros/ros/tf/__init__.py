"""Transforms: tf2_ros where it is, TF topics where it is not."""
