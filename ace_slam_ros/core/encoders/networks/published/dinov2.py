"""DINOv2's patch features (Oquab et al. 2023) through timm, for weights of the user."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....errors import EncoderError
from ...base import EncoderSpec
from ..network import GridNetwork, StateDict

_PATCH = 14
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SIZES = {384: "small", 768: "base", 1024: "large"}


class DinoNetwork(GridNetwork):
    """A vision transformer on 14-pixel patches; gray goes into all three channels."""

    spec = EncoderSpec(
        name="dinov2", stride=_PATCH, dimension=384, receptive_field_px=None,
        size_multiple=_PATCH, normalization="[0, 255] to [0, 1], then ImageNet mean and deviation",
        license="Apache-2.0")
    mean_13hw: Tensor
    deviation_13hw: Tensor

    def __init__(self, transformer: nn.Module, dimension: int) -> None:
        super().__init__()
        self.transformer: Any = transformer
        self.spec = dataclasses.replace(type(self).spec, dimension=dimension)
        for name, values in (("mean_13hw", _MEAN), ("deviation_13hw", _DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    @classmethod
    def for_weights(cls, state: StateDict) -> DinoNetwork:
        """Return the transformer of the weights' width, with or without register tokens."""
        try:
            import timm
        except ImportError as error:
            raise EncoderError(
                f"encoder.name=dinov2 needs timm ({error}): pip install 'ace-slam-ros[dinov2]', "
                "or pip install timm") from error
        token = state.get("cls_token")
        width = 0 if token is None else int(token.shape[-1])
        if width not in _SIZES:
            raise EncoderError(
                "the weights hold no DINOv2 transformer: expected cls_token of width "
                f"{', '.join(map(str, _SIZES))} (ViT-S, B or L), found "
                f"{'none' if token is None else width}")
        registers = "_reg4" if {"register_tokens", "reg_token"} & set(state) else ""
        name = f"vit_{_SIZES[width]}_patch14{registers}_dinov2"
        # Made for the published position grid; other image sizes interpolate it.
        transformer = timm.create_model(
            name, pretrained=False, num_classes=0, img_size=518, dynamic_img_size=True)
        return cls(transformer, width)

    def from_published(self, state: StateDict) -> StateDict:
        """Return tensors of the authors' checkpoint, or of timm's, under the names used here."""
        from timm.models.vision_transformer import checkpoint_filter_fn

        return {f"transformer.{name}": value for name, value
                in checkpoint_filter_fn(dict(state), self.transformer).items()}

    def forward(self, images_b1HW: Tensor) -> Tensor:
        """Return (B, D, H/14, W/14) unit-norm patch features of (B, 1, H, W) gray images."""
        x = ((images_b1HW / 255 - self.mean_13hw) / self.deviation_13hw).to(self.dtype)
        tokens = self.transformer.forward_features(x)[:, self.transformer.num_prefix_tokens:]
        h, w = x.shape[2] // _PATCH, x.shape[3] // _PATCH
        grid = tokens.float().transpose(1, 2).unflatten(2, (h, w))
        return F.normalize(grid, dim=1)
