"""Rigid-body math and array types; imports nothing else of this package."""
