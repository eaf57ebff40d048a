"""Encoders as torch networks: the shipped one, which trains here, and those of others."""
