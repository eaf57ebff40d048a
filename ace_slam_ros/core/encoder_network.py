"""Moved to `encoders`."""

from .encoders.network import fold_normalisation as fold_normalisation
from .encoders.tiny import DIMENSION as DIMENSION
from .encoders.tiny import STRIDE as STRIDE
from .encoders.tiny import EncoderNetwork as EncoderNetwork
