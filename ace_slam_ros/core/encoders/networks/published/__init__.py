"""Encoders of other people, run with weights that the user brings."""
