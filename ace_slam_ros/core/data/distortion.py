"""Lens distortion as drivers write it: names of models and numbers of coefficients, made one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..errors import CalibrationError

PLUMB_BOB, RATIONAL, EQUIDISTANT = "plumb_bob", "rational_polynomial", "equidistant"

#: Names that drivers and calibration tools give to the models of OpenCV.
_NAMES = {
    "": PLUMB_BOB, "none": PLUMB_BOB, PLUMB_BOB: PLUMB_BOB, "brown_conrady": PLUMB_BOB,
    "radtan": PLUMB_BOB, RATIONAL: RATIONAL, EQUIDISTANT: EQUIDISTANT, "fisheye": EQUIDISTANT,
    "kannala_brandt": EQUIDISTANT, "kannala_brandt4": EQUIDISTANT,
}
#: Numbers of coefficients that OpenCV's polynomial may have: k1 k2 p1 p2, k3, k4 k5 k6, the thin
#: prism, the tilt of the sensor. All are one model, in one order; so the number says which part
#: of it is meant, whatever name stands beside.
_POLYNOMIAL = (4, 5, 8, 12, 14)
_FISHEYE = 4


def standard_distortion(model: str, coefficients: Sequence[float]) -> tuple[
    str, tuple[float, ...]
]:
    """Return model and coefficients as `Camera` holds them.

    Zeros are no distortion under any name and in any number. Zeros beyond the last number of a
    model are left out.

    Args:
        model: as the driver names it; case, blanks and dashes do not matter.
        coefficients: as the driver sends them.

    Returns:
        (plumb_bob, rational_polynomial or equidistant; its coefficients).

    Raises:
        CalibrationError: the model is unknown, or cannot have that many coefficients, and they
            are not all zero; or one is not finite.
    """
    values = tuple(float(value) for value in coefficients)
    if not all(math.isfinite(value) for value in values):
        raise CalibrationError(
            "camera distortion holds NaN or infinity: calibrate the camera, or send zeros in d "
            "when its images are rectified")
    name = _NAMES.get(model.strip().lower().replace(" ", "_").replace("-", "_"))
    if not any(values):
        known = name or PLUMB_BOB
        return (known, values) if len(values) in _counts(known) else (known, ())
    if name is None:
        raise CalibrationError(
            f"unknown distortion model '{model}' with coefficients that are not zero, known: "
            f"{', '.join(n for n in _NAMES if n)}: calibrate the camera with one of these, or "
            "send rectified images with zeros in d")
    return _in_number(name, values)


def _in_number(name: str, values: tuple[float, ...]) -> tuple[str, tuple[float, ...]]:
    """Cut zeros that are too many; name a polynomial by the number of its coefficients."""
    counts = _counts(name)
    count = next((n for n in counts if n >= len(values)), None)
    if count != len(values):
        used = max(i for i, value in enumerate(values) if value != 0.0) + 1
        count = max((n for n in counts if used <= n <= len(values)), default=None)
    if count is None:
        raise CalibrationError(
            f"camera has {len(values)} distortion coefficients, but {name} takes "
            f"{' or '.join(str(n) for n in counts)}: calibrate the camera again, or send "
            "rectified images with zeros in d")
    if name == EQUIDISTANT:
        return name, values[:count]
    return (PLUMB_BOB if count <= 5 else RATIONAL), values[:count]


def _counts(name: str) -> tuple[int, ...]:
    return (_FISHEYE,) if name == EQUIDISTANT else _POLYNOMIAL
