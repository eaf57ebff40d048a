"""The live view in rerun."""
