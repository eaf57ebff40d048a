"""What an encoder is trained with; stored in the weights' metadata."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """What the committed weights were trained with."""

    seed: int = 0
    steps: int = 6000
    pairs: int = 10
    view: int = 192
    base: int = 320
    images: int = 2500
    cells: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    temperature: float = 0.06
    exclude_px: float = 10.0
