"""The unit of a folder's depth images: as told, or as the stored numbers themselves tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import CalibrationError, DataError

#: Stored units per meter that folders of this layout have, by the name people know.
MILLIMETERS, TUM = 1000.0, 5000.0
#: Median and far depth of what a hand-held camera indoors looks at, meters.
_MEDIAN_M, _FARTHEST_M = (0.6, 5.0), 12.0
#: Images looked at, spread over the recording.
_IMAGES = 8
#: Millimeters stored at 5000 per meter are multiples of five; a share of these by chance is 0.2.
_MULTIPLES, _DISTINCT = 0.99, 10


@dataclass(frozen=True)
class DepthUnit:
    """How integer depth is to be read.

    Attributes:
        per_meter: stored units per meter.
        told_by: who says so, for people.
        guessed: nobody says so; it fits the numbers.
    """

    per_meter: float
    told_by: str
    guessed: bool = False

    def summary(self) -> dict[str, Any]:
        """Return the entry of `summary.json`."""
        return {"m": 1.0 / self.per_meter, "told_by": self.told_by, "guessed": self.guessed}


def depth_unit(
    calibration: Path, stated: float | None, parameter_m: float,
    images: list[Callable[[], npt.NDArray[Any]]],
) -> DepthUnit:
    """Return the unit of a folder's depth images.

    Args:
        calibration: the file that should tell.
        stated: what it says, stored units per meter; None = nothing.
        parameter_m: `sensor.depth_unit_m`, which overrules it; 0 = nothing.
        images: read the depth images; some are looked at where nobody tells.

    Raises:
        CalibrationError: nobody tells, and the numbers fit more than one unit or none.
    """
    if parameter_m > 0.0:
        return DepthUnit(1.0 / parameter_m, "sensor.depth_unit_m")
    if stated is not None:
        return DepthUnit(stated, calibration.name)
    values = _sampled(images)
    if not values.size:
        return DepthUnit(TUM, "the TUM layout; no depth image can be read")
    found = guess_units_per_meter(values)
    if isinstance(found, str):
        raise CalibrationError(
            f"{calibration} has no depth_scale and {found}: add `depth_scale: 1000` (millimeters) "
            "or `depth_scale: 5000` (TUM), or --set sensor.depth_unit_m=0.001")
    return DepthUnit(
        found, f"guessed: {calibration.name} has no depth_scale, and the median of the depth "
        f"images is {float(np.median(values)) / found:.2f} m so", guessed=True)


def guess_units_per_meter(values: npt.NDArray[np.uint16]) -> float | str:
    """Tell millimeters from units of 1/5000 m by the numbers (n,) that depth images hold.

    Returns:
        Stored units per meter; or why that cannot be told.
    """
    distinct = np.unique(values)
    if len(distinct) >= _DISTINCT and (values % 5 == 0).mean() >= _MULTIPLES:
        return TUM
    median, far = np.percentile(values, (50, 95))
    fitting = [unit for unit in (MILLIMETERS, TUM)
               if _MEDIAN_M[0] <= median / unit <= _MEDIAN_M[1] and far / unit <= _FARTHEST_M]
    if len(fitting) == 1:
        return fitting[0]
    which = "both millimeters and units of 0.2 mm" if fitting else \
        "neither millimeters nor units of 0.2 mm"
    return f"the depth images, of median {median:g}, fit {which}"


def _sampled(images: list[Callable[[], npt.NDArray[Any]]]) -> npt.NDArray[np.uint16]:
    """Measured values of a few images; damaged ones are left out here and counted later."""
    found = [np.empty(0, np.uint16)]
    for image in images[::max(1, len(images) // _IMAGES)][:_IMAGES]:
        try:
            values = image()[::4, ::4]
        except DataError:
            continue
        found.append(values[(values > 0) & (values < 65535)].astype(np.uint16))
    return np.concatenate(found)
