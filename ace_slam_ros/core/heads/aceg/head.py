"""The frozen token head: features attend to tokens and point at where these are.

After ACE-G (arXiv 2510.11605): the map is a code, here a list of tokens, and what reads it knows
nothing of the scene. A token is made of mapped features without any optimization.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...data.predictions import Predictions, no_predictions
from ...encoders.grouped_vectors import NOTHING
from ...errors import MapError
from ...runtime.compiled import AVAILABLE
from .index import TokenIndex
from .kernels import point, point_twin
from .tokens import unit

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...geometry.arrays import Float32Array
    from ..payload import Arrays
    from .regressor import Regressor

HEAD_TYPE = "aceg"
#: Channels of a key.
KEYS = 48
#: Steps of a rounded map point.
OFFSET_LEVELS = 32767.0
#: Tokens a feature attends to, and the places it may point at.
CANDIDATES, _PLACES = 16, 8
#: Tokens nearer than this are of one place; a place with a smaller share of the attention of the
#: first one is none: from a fifth on, wrong poses in unknown places reach a confidence of 0.06.
_PLACE_M, _LEAST_SHARE = 0.06, 0.3


@dataclass(frozen=True)
class TokenMap:
    """Tokens as features see them.

    Attributes:
        index: finds them by their keys.
        x_T3: (T, 3) float32 map points, meters.
        sigma_T: (T,) float32 standard deviation per axis, meters.
        submap_T: (T,) uint8 submap of each.
    """

    index: TokenIndex
    x_T3: Float32Array
    sigma_T: Float32Array
    submap_T: npt.NDArray[np.uint8]

    def predict(self, keys_NK: Float32Array, temperature: float) -> Predictions:
        """Return the places that features point at, the surest first.

        Args:
            keys_NK: (N, K) keys of the features.
            temperature: softmax temperature of cosines.
        """
        count = len(keys_NK)
        if count == 0 or len(self.x_T3) == 0:
            return no_predictions(count)
        token_Nk, cosine_Nk = self.index.nearest(keys_NK, CANDIDATES)
        weight_Nk = np.exp((cosine_Nk - cosine_Nk[:, :1]) / np.float32(temperature))
        weight_Nk[cosine_Nk <= NOTHING] = 0.0
        coords = np.empty((count, _PLACES, 3), np.float32)
        sigma = np.empty((count, _PLACES), np.float32)
        submap = np.empty((count, _PLACES), np.uint8)
        (point if AVAILABLE else point_twin)(
            token_Nk, weight_Nk, self.x_T3, self.sigma_T, self.submap_T, _PLACE_M, _LEAST_SHARE,
            coords, sigma, submap)
        return Predictions(coords, sigma, submap if self.submap_T.any() else None)


class AcegHead:
    """Frozen tokens: what tracker and relocalizer use and what a map stores.

    Attributes:
        tokens: as features see them.
    """

    head_type = HEAD_TYPE
    takes_submaps = True

    def __init__(self, arrays: Arrays, regressor: Regressor) -> None:
        """Unpack tokens.

        Raises:
            MapError: an array is missing, or the tokens are of another regressor.
        """
        try:
            keys = arrays["token_keys"]
            offsets = arrays["token_offsets"].astype(np.float32)
            x_T3 = offsets * arrays["token_step"] + arrays["token_center"]
            sigma_T = arrays["token_sigma"].astype(np.float32)
            mark = int(arrays["token_regressor"])
        except KeyError as error:
            raise MapError(f"head weights lack {error}: save the map again") from error
        submap = arrays.get("token_submap", np.zeros(len(sigma_T), np.uint8))
        if (mark != regressor.mark or keys.shape != (len(sigma_T), regressor.coarse_GK.shape[1])
                or x_T3.shape != (len(sigma_T), 3) or len(submap) != len(sigma_T)):
            raise MapError("the map was made with another regressor: continue it once with mode "
                           "mapping and save it, or map again")
        self._regressor = regressor
        self.tokens = TokenMap(TokenIndex(unit(keys), regressor.coarse_GK), x_T3, sigma_T, submap)

    @property
    def token_count(self) -> int:
        """Tokens of the map."""
        return len(self.tokens.x_T3)

    def predict(self, descriptors_ND: Float32Array) -> Predictions:
        """Return all hypotheses of each descriptor."""
        if len(descriptors_ND) == 0:
            return no_predictions(0)
        return self.tokens.predict(
            self._regressor.keys(descriptors_ND), self._regressor.temperature)
