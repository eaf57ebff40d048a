"""Moved to `encoders`."""

from .encoders.interface import Encoder as Encoder
from .encoders.loading import ASSETS as ASSETS
from .encoders.loading import load_encoder as load_encoder
