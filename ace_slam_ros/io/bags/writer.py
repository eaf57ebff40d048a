"""rosbag2 writer (mcap, sqlite3): raw or compressed image pairs, calibration, ground truth."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer

from ...core.data.trajectory import Trajectory, stamp_to_text
from ...core.errors import DataError
from ...core.geometry.se3 import quaternion_from_pose
from ...core.runtime.staged_folder import staged_folder
from ..depth import depth_to_stored, encode_compressed_depth
from ..images import check_complete, decode_compressed_image, encode_jpeg
from .file import CAMERA_INFO, COMPRESSED, IMAGE, POSE, TYPES
from .topics import COLOR_TOPIC, DEPTH_TOPIC, GROUNDTRUTH_TOPIC, INFO_TOPIC

if TYPE_CHECKING:
    from ...core.data.camera import Camera
    from ...core.geometry.arrays import UInt8Image

Storage = Literal["mcap", "sqlite3"]
Transport = Literal["raw", "compressed"]
DepthEncoding = Literal["16UC1", "32FC1"]

_PLUGINS = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
_BAG_VERSION: Literal[8] = 8  # readable by Humble, Jazzy and later


class BagWriter:
    """Writes a bag pair by pair; the folder appears when the `with` block ends well.

    Args:
        out: the bag folder, must not exist.
        camera: camera of the images as written, with its distortion.
        groundtruth: camera poses to store on `/groundtruth`, or None.
        storage: mcap or sqlite3.
        transport: raw, or compressed (JPEG or PNG color, compressedDepth).
        depth_encoding: 16UC1 (millimeters) or 32FC1 (meters).
        frame_id: optical frame of the images.
        map_frame: frame of the ground truth.
        jpeg_quality: 1..100, for images that come decoded when transport is compressed.

    Raises:
        DataError: `out` exists or cannot be written, or an option is unknown.
    """

    def __init__(
        self, out: Path, camera: Camera, groundtruth: Trajectory | None = None, *,
        storage: Storage = "mcap", transport: Transport = "raw",
        depth_encoding: DepthEncoding = "16UC1",
        frame_id: str = "camera_color_optical_frame", map_frame: str = "map",
        jpeg_quality: int = 95,
    ) -> None:
        for name, value, choices in (
            ("storage", storage, ("mcap", "sqlite3")),
            ("transport", transport, ("raw", "compressed")),
            ("depth encoding", depth_encoding, ("16UC1", "32FC1")),
        ):
            if value not in choices:
                raise DataError(f"{name} '{value}' is unknown: choose {' or '.join(choices)}")
        self.out, self.camera, self.groundtruth = Path(out), camera, groundtruth
        self.storage, self.transport, self.depth_encoding = storage, transport, depth_encoding
        self.frame_id, self.map_frame, self.jpeg_quality = frame_id, map_frame, jpeg_quality
        self.count = 0
        self._poses_written = 0
        self._stack = ExitStack()

    def __enter__(self) -> BagWriter:
        """Create the hidden folder that becomes `out`."""
        with ExitStack() as stack:
            folder = stack.enter_context(staged_folder(self.out))
            self._writer = stack.enter_context(
                Writer(folder, version=_BAG_VERSION, storage_plugin=_PLUGINS[self.storage]))
            small = self.transport == "compressed"
            self._color = self._connect(
                COLOR_TOPIC + ("/compressed" if small else ""), COMPRESSED if small else IMAGE)
            self._depth = self._connect(
                DEPTH_TOPIC + ("/compressedDepth" if small else ""),
                COMPRESSED if small else IMAGE)
            self._info = self._connect(INFO_TOPIC, CAMERA_INFO)
            if self.groundtruth is not None:
                self._truth = self._connect(GROUNDTRUTH_TOPIC, POSE)
            stack.push(self._finish)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Publish the bag, or remove it after an exception."""
        self._stack.__exit__(kind, error, trace)

    def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._write_poses(None)

    def add(
        self, stamp_ns: int, color: bytes | UInt8Image, depth_m: npt.NDArray[np.float32] | None,
        *, depth_stamp_ns: int | None = None, color_format: str = "",
    ) -> None:
        """Write one pair and its camera_info.

        Args:
            stamp_ns: stamp of the color image.
            color: JPEG or PNG bytes, passed through by the compressed transport, or an image.
            depth_m: (H, W) meters, 0 = missing; or None.
            depth_stamp_ns: stamp of the depth image; None = that of color.
            color_format: the ROS format of `color` when it is bytes.
        """
        depth_stamp_ns = stamp_ns if depth_stamp_ns is None else depth_stamp_ns
        self._write_poses(min(stamp_ns, depth_stamp_ns))
        self._write(self._info, stamp_ns, self._info_message(stamp_ns))
        self._write(self._color, stamp_ns, self._color_message(stamp_ns, color, color_format))
        if depth_m is not None:
            message = self._depth_message(depth_stamp_ns, depth_m)
            self._write(self._depth, depth_stamp_ns, message)
        self.count += 1

    def _connect(self, topic: str, kind: str) -> Connection:
        return self._writer.add_connection(topic, kind, typestore=TYPES)

    def _write(self, connection: Connection, time_ns: int, message: Any) -> None:
        self._writer.write(
            connection, time_ns, TYPES.serialize_cdr(message, connection.msgtype))

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        seconds, rest = divmod(stamp_ns, 1_000_000_000)
        if not 0 <= seconds < 2**31:
            raise DataError(f"stamp {stamp_to_text(stamp_ns)} s is outside ROS time, 0..2^31 s")
        stamp = TYPES.types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=rest)
        return TYPES.types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)

    def _image_message(
        self, stamp_ns: int, pixels: npt.NDArray[Any], encoding: str
    ) -> Any:
        rows = np.ascontiguousarray(pixels)
        return TYPES.types[IMAGE](
            header=self._header(stamp_ns, self.frame_id), height=rows.shape[0],
            width=rows.shape[1], encoding=encoding, is_bigendian=0, step=rows.strides[0],
            data=rows.reshape(-1).view(np.uint8),
        )

    def _compressed_message(self, stamp_ns: int, data: bytes, format: str) -> Any:
        return TYPES.types[COMPRESSED](
            header=self._header(stamp_ns, self.frame_id), format=format,
            data=np.frombuffer(data, np.uint8),
        )

    def _color_message(self, stamp_ns: int, color: bytes | UInt8Image, color_format: str) -> Any:
        if self.transport == "compressed":
            if isinstance(color, bytes):
                return self._compressed_message(
                    stamp_ns, color, color_format or check_complete(color))
            data = encode_jpeg(color, self.jpeg_quality)
            format = "rgb8; jpeg compressed bgr8" if color.ndim == 3 else "mono8; jpeg compressed "
            return self._compressed_message(stamp_ns, data, format)
        if isinstance(color, bytes):
            color = decode_compressed_image(color, color_format)
        return self._image_message(stamp_ns, color, "rgb8" if color.ndim == 3 else "mono8")

    def _depth_message(self, stamp_ns: int, depth_m: npt.NDArray[np.float32]) -> Any:
        stored: npt.NDArray[Any]
        if self.depth_encoding == "16UC1":
            stored = depth_to_stored(depth_m, 1000.0)
        else:  # REP 118: NaN marks missing depth in meters
            stored = np.where(depth_m > 0.0, depth_m, np.float32(np.nan)).astype(np.float32)
        if self.transport == "compressed":
            data, format = encode_compressed_depth(stored, self.depth_encoding)
            return self._compressed_message(stamp_ns, data, format)
        return self._image_message(stamp_ns, stored, self.depth_encoding)

    def _info_message(self, stamp_ns: int) -> Any:
        camera = self.camera
        K_33 = camera.K_33
        return TYPES.types[CAMERA_INFO](
            header=self._header(stamp_ns, self.frame_id), height=camera.height,
            width=camera.width, distortion_model=camera.distortion_model,
            d=np.array(camera.distortion, np.float64), k=K_33.reshape(-1),
            r=np.eye(3).reshape(-1), p=np.hstack([K_33, np.zeros((3, 1))]).reshape(-1),
            binning_x=0, binning_y=0,
            roi=TYPES.types["sensor_msgs/msg/RegionOfInterest"](
                x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
        )

    def _write_poses(self, until_ns: int | None) -> None:
        """Write the poses up to a stamp, so that the bag stays in order of time."""
        if self.groundtruth is None:
            return
        stamps = self.groundtruth.stamps_ns
        while self._poses_written < len(stamps):
            stamp_ns = int(stamps[self._poses_written])
            if until_ns is not None and stamp_ns > until_ns:
                return
            T_44 = self.groundtruth.T_map_cam_N44[self._poses_written]
            self._write(self._truth, stamp_ns, self._pose_message(stamp_ns, T_44))
            self._poses_written += 1

    def _pose_message(self, stamp_ns: int, T_map_cam_44: npt.NDArray[np.float64]) -> Any:
        x, y, z = (float(v) for v in T_map_cam_44[:3, 3])
        qx, qy, qz, qw = (float(v) for v in quaternion_from_pose(T_map_cam_44))
        pose = TYPES.types["geometry_msgs/msg/Pose"](
            position=TYPES.types["geometry_msgs/msg/Point"](x=x, y=y, z=z),
            orientation=TYPES.types["geometry_msgs/msg/Quaternion"](x=qx, y=qy, z=qz, w=qw),
        )
        return TYPES.types[POSE](header=self._header(stamp_ns, self.map_frame), pose=pose)
