"""What an encoder is trained with; stored in the weights' metadata."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One part of the training, with a learning-rate cycle of its own.

    Attributes:
        steps: optimizer steps.
        pairs: view pairs per step.
        view: side of a view in pixels.
        learning_rate: peak of the one-cycle schedule.
        world_share: share of pairs from rendered worlds, the rest from flat pictures.
        most_layers: pieces floating before a flat picture, at most.
        every_cell: all cells of the partner view are negatives, not only the drawn ones.
    """

    steps: int
    pairs: int
    view: int
    learning_rate: float
    world_share: float = 0.0
    most_layers: int = 0
    every_cell: bool = False


@dataclass(frozen=True)
class Recipe:
    """What the committed weights were trained with."""

    seed: int = 0
    base: int = 320
    images: int = 2500
    scenes: int = 24
    cells: int = 256
    weight_decay: float = 1e-4
    temperature: float = 0.06
    exclude_px: float = 10.0
    stages: tuple[Stage, ...] = (
        Stage(steps=6000, pairs=10, view=192, learning_rate=2e-3),
        Stage(steps=9000, pairs=8, view=256, learning_rate=1.2e-3, world_share=0.5,
              most_layers=4, every_cell=True),
    )

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def at(self, step: int) -> tuple[Stage, int]:
        """Return the stage a step belongs to and the stage's first step."""
        first = 0
        for stage in self.stages[:-1]:
            if step < first + stage.steps:
                return stage, first
            first += stage.steps
        return self.stages[-1], first
