"""Published trajectory errors of other systems, each with the paper that states it.

What no paper at hand states for a sequence is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """The errors of one system.

    Attributes:
        system: its name.
        source: the paper and table that state them.
        ate_cm: RMSE of the absolute trajectory error in cm by `sequence_key`.
    """

    system: str
    source: str
    ate_cm: dict[str, float]


_TUM = ("fr1/desk", "fr1/desk2", "fr1/room", "fr2/desk", "fr2/xyz", "fr3/office", "fr3/nst")
_TUM_THREE = ("fr1/desk", "fr2/xyz", "fr3/office")
_REPLICA = tuple(f"replica/{name}" for name in (
    "room0", "room1", "room2", "office0", "office1", "office2", "office3", "office4"))
_ORB_SLAM2 = "Mur-Artal and Tardos, ORB-SLAM2, T-RO 2017, table III"
_NICE = "Zhu et al., NICE-SLAM, CVPR 2022, table of TUM RGB-D"
_ACE_SLAM = "ACE-SLAM, arXiv 2512.14032"
_POINT = "Sandstrom et al., Point-SLAM, ICCV 2023, table of Replica"


def _by(names: tuple[str, ...], *values: float) -> dict[str, float]:
    return dict(zip(names, values, strict=True))


PUBLISHED = (
    Published("ACE-SLAM", _ACE_SLAM, {
        "replica/room0": 2.7, "fr1/desk": 8.3, "fr2/xyz": 1.6, "fr3/walking_xyz": 7.2,
        "fr3/sitting_static": 0.7}),
    Published("ORB-SLAM2", _ORB_SLAM2, _by(_TUM, 1.6, 2.2, 4.7, 0.9, 0.4, 1.0, 1.9)),
    Published("ElasticFusion", _ORB_SLAM2, _by(_TUM, 2.0, 4.8, 6.8, 7.1, 1.1, 1.7, 1.6)),
    Published("Kintinuous", _ORB_SLAM2, _by(_TUM, 3.7, 7.1, 7.5, 3.4, 2.9, 3.0, 3.1)),
    Published("BAD SLAM", _NICE, _by(_TUM_THREE, 1.7, 1.1, 1.7)),
    Published("NICE-SLAM", _NICE, _by(_TUM_THREE, 2.7, 1.8, 3.0)),
    Published("Point-SLAM", _POINT, _by(
        _REPLICA, 0.61, 0.41, 0.37, 0.38, 0.48, 0.54, 0.69, 0.72)),
)
#: Names of sequences that papers shorten.
_SHORT = {"long_office_household": "office", "nostructure_texture_near_withloop": "nst"}


def sequence_key(layout: str, name: str) -> str:
    """Return the name by which papers know a sequence, from its layout and folder."""
    found = re.search(r"(?:freiburg|fr)([123])_(\w+)", name.lower())
    if found:
        return f"fr{found.group(1)}/{_SHORT.get(found.group(2), found.group(2))}"
    return f"{layout.split()[0].lower()}/{name.lower()}"
