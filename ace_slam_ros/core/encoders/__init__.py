"""Frozen image encoders: one interface, the encoder that ships, and those of others."""
