"""Synthetic RGB-D worlds with exact ground truth: scenes, renderer, sensor model, sequences."""

from .sequence import write_sequence
from .worlds import MOTION_NAMES, WORLD_NAMES, SynthFrame, World, make_world

__all__ = ["MOTION_NAMES", "WORLD_NAMES", "SynthFrame", "World", "make_world", "write_sequence"]
