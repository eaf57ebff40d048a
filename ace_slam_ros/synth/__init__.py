"""Synthetic RGB-D worlds with exact ground truth: scenes, renderer, sensor model, sequences."""

from .sequence import write_sequence
from .worlds import WORLD_NAMES, SynthFrame, World, make_world

__all__ = ["WORLD_NAMES", "SynthFrame", "World", "make_world", "write_sequence"]
