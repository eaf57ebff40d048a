"""Point clouds as PointCloud2 messages."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from .compat import POINT_CLOUD2
from .conversions import byte_array, make_header


def cloud_to_msg(
    points_N3: npt.NDArray[np.float32], stamp_ns: int, frame_id: str
) -> PointCloud2:
    """Make a PointCloud2 of points (N, 3) meters: x, y, z of 32 bits."""
    points, header = np.ascontiguousarray(points_N3, "<f4"), make_header(stamp_ns, frame_id)
    cloud = POINT_CLOUD2.answer(
        lambda library: library.create_cloud_xyz32(header, points),
        lambda: _pack(header, points))
    cloud.is_dense = True
    return cloud


def xyz_of(cloud: PointCloud2) -> npt.NDArray[np.float32]:
    """Return the points (N, 3) of a cloud that begins with x, y, z, as those of `cloud_to_msg`."""
    return np.frombuffer(cloud.data, "<f4").reshape(-1, cloud.point_step // 4)[:, :3]


def _pack(header: Header, points_N3: npt.NDArray[Any]) -> PointCloud2:
    fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate("xyz")
    ]
    return PointCloud2(
        header=header, height=1, width=len(points_N3), fields=fields, is_bigendian=False,
        point_step=12, row_step=12 * len(points_N3), is_dense=True,
        data=byte_array(points_N3) if points_N3.size else array("B"))
