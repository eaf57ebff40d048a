"""Export a trained encoder: fold the normalization, store fp16 safetensors, plot the curves."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from pathlib import Path

import torch
from recipe import Recipe
from safetensors.torch import save_file

from ace_slam_ros.core.encoders.networks.network import fold_normalization
from ace_slam_ros.core.encoders.networks.tiny import EncoderNetwork


def export_encoder(network: EncoderNetwork, recipe: Recipe, path: Path) -> None:
    """Write the inference weights (fp16) with the recipe as metadata."""
    folded = fold_normalization(copy.deepcopy(network).cpu())
    tensors = {name: value.detach().half().contiguous() for name, value
               in folded.state_dict().items()}
    temporary = path.with_suffix(".tmp")
    metadata = {"recipe": json.dumps(asdict(recipe)), "torch": torch.__version__}
    save_file(tensors, temporary, metadata)
    temporary.replace(path)


def plot_curves(log: list[list[float]], path: Path) -> None:
    """Draw loss, training accuracy and validation accuracy over the steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.plot([row[0] for row in log], [row[1] for row in log])
    left.set(xlabel="step", ylabel="InfoNCE loss")
    right.plot([row[0] for row in log], [row[2] for row in log], label="training")
    held_out = [row for row in log if len(row) > 3]
    right.plot([row[0] for row in held_out], [row[3] for row in held_out], label="validation")
    right.set(xlabel="step", ylabel="top-1 accuracy")
    right.legend()
    figure.savefig(path, dpi=110)
