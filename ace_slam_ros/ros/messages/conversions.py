"""Images, cameras and keyframes between ROS messages and core types."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time as TimeMsg
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from ...core.data.camera import Camera
from ...core.data.frame import Frame
from ...core.data.keyframe import Keyframe
from ...core.data.submaps import MOST_SUBMAPS
from ...core.errors import DataError
from ...io.calibration import camera_from_message
from ...io.depth import (
    decode_compressed_depth,
    decode_depth,
    decode_depth_image,
    units_per_meter,
    usable_depth,
)
from ...io.images import COLOR_ENCODINGS, decode_compressed_image, decode_image
from ...io.pairs import rectified
from ...msg import Keyframe as KeyframeMsg
from .compat import CV_BRIDGE
from .limits import MOST_FEATURES, check_compressed, check_counts, check_keyframe, check_size
from .poses import pose_from_msg, pose_to_msg
from .scans import scan_fields, scan_from_msg

if TYPE_CHECKING:
    from ...core.geometry.arrays import Float32Image, UInt8Image
    from ...io.registration import Registration

_NS = 1_000_000_000
#: Of an image: smaller ones show nothing that can be followed or recognized.
_LEAST_SIDE = 16


def stamp_to_ns(stamp: TimeMsg) -> int:
    """Return a message stamp as integer nanoseconds."""
    return int(stamp.sec) * _NS + int(stamp.nanosec)


def ns_to_stamp(stamp_ns: int) -> TimeMsg:
    """Return integer nanoseconds as a message stamp."""
    return TimeMsg(sec=stamp_ns // _NS, nanosec=stamp_ns % _NS)


def make_header(stamp_ns: int, frame_id: str) -> Header:
    """Return a header."""
    return Header(stamp=ns_to_stamp(stamp_ns), frame_id=frame_id)


def byte_array(values: npt.NDArray[Any] | bytes) -> array[int]:
    """Copy to the one type that message fields of bytes take without a loop over elements."""
    out = array("B")
    view: Any = np.ascontiguousarray(values) if isinstance(values, np.ndarray) else values
    out.frombytes(memoryview(view).cast("B"))
    return out


def image_from_msg(msg: Image | CompressedImage, *, gray: bool = False) -> UInt8Image:
    """Decode a color message to (H, W, 3) RGB or (H, W) gray uint8; see `decode_image` for gray.

    Raises:
        DataError: unknown encoding, truncated or damaged data.
    """
    data = np.frombuffer(msg.data, np.uint8)
    if isinstance(msg, CompressedImage):
        return decode_compressed_image(data, msg.format)
    try:
        return decode_image(
            data, msg.encoding, msg.width, msg.height, msg.step, msg.is_bigendian, gray=gray)
    except DataError:
        found = _other_encoding(msg)
        if found is None:
            raise
        return found


def _other_encoding(msg: Image) -> UInt8Image | None:
    """Return an image that only cv_bridge can read as (H, W, 3) RGB; None if it cannot.

    It is not asked for encodings of ours: those have one rule, live and recorded.
    """
    if msg.encoding.lower() in {name.lower() for name in COLOR_ENCODINGS}:
        return None
    found = CV_BRIDGE.answer(
        lambda library: library.CvBridge().imgmsg_to_cv2(msg, "rgb8"), lambda: None)
    if not isinstance(found, np.ndarray) or found.shape != (msg.height, msg.width, 3):
        return None
    return np.asarray(found, np.uint8)


def depth_from_msg(msg: Image | CompressedImage, depth_unit_m: float = 0.0) -> Float32Image:
    """Decode a depth message to (H, W) float32 meters, 0 = missing.

    Args:
        msg: the message.
        depth_unit_m: meters per unit of integer depth; 0 = millimeters.

    Raises:
        DataError: no depth encoding, truncated or damaged data.
    """
    data = np.frombuffer(msg.data, np.uint8)
    if isinstance(msg, CompressedImage):
        return decode_depth(
            *decode_compressed_depth(data, msg.format), units_per_meter(depth_unit_m))
    return decode_depth_image(
        data, msg.encoding, msg.width, msg.height, msg.step, msg.is_bigendian,
        units_per_meter(depth_unit_m))


def depth_late_s(color: Image | CompressedImage, depth: Image | CompressedImage) -> float:
    """How long after the color image depth was taken, seconds, as their stamps tell."""
    return (stamp_to_ns(depth.header.stamp) - stamp_to_ns(color.header.stamp)) * 1e-9


def frame_from_msgs(
    color: Image | CompressedImage, depth: Image | CompressedImage | None, info: CameraInfo,
    require_depth: bool = True, gray: bool = False, depth_unit_m: float = 0.0,
    registration: Registration | None = None,
) -> Frame:
    """Decode and rectify one pair.

    `depth_unit_m` is the parameter `sensor.depth_unit_m`; `registration` moves depth into the
    color image, where it is of another camera.

    With `gray` the image may lack color, and is rectified without it: a gray level is then up to
    one off that of the rectified color image.

    Raises:
        DataError: a message cannot be decoded, is too large, sizes disagree, no pixel has depth,
            or its unit is wrong.
    """
    check_size(info.width, info.height, "calibration")
    for what, msg in (("color image", color), ("depth image", depth)):
        if isinstance(msg, Image):
            check_size(msg.width, msg.height, what)
        elif msg is not None:
            check_compressed(memoryview(msg.data), what)
    image = image_from_msg(color, gray=gray)
    if min(image.shape[:2]) < _LEAST_SIDE:
        raise DataError(
            f"the image has {image.shape[1]}x{image.shape[0]} pixels, {_LEAST_SIDE} on each side "
            "are the least: set the driver's resolution")
    camera = camera_from_message(info, (image.shape[1], image.shape[0]))
    stamp_ns = stamp_to_ns(color.header.stamp)
    depth_m = None if depth is None else depth_from_msg(depth, depth_unit_m)
    late_s = 0.0 if depth is None else depth_late_s(color, depth)
    straight = camera.without_distortion()
    frame = Frame(stamp_ns, image, None if registration else depth_m, straight,
                  depth_late_s=late_s)
    encoding = getattr(depth, "encoding", "compressed depth")
    depth_m = usable_depth(depth_m, encoding, required=require_depth)
    if not camera.is_distorted and depth_m is frame.depth_m:
        return frame
    image, depth_m = rectified(camera, frame.gray if gray else image, depth_m, registration)
    return Frame(stamp_ns, image, depth_m, straight, depth_late_s=late_s)


def image_to_msg(image: npt.NDArray[Any], stamp_ns: int, frame_id: str) -> Image:
    """Make an Image of RGB or gray uint8, uint16 depth in millimeters or float32 meters."""
    kinds = {("uint8", 2): "mono8", ("uint8", 3): "rgb8", ("uint16", 2): "16UC1",
             ("float32", 2): "32FC1"}
    encoding = kinds.get((image.dtype.name, image.ndim))
    if encoding is None:
        raise DataError(f"no image encoding for {image.dtype} of shape {image.shape}")
    height, width = image.shape[:2]
    return Image(
        header=make_header(stamp_ns, frame_id), height=height, width=width, encoding=encoding,
        is_bigendian=0, step=image.strides[0] if image.flags.c_contiguous else
        width * image.itemsize * (3 if image.ndim == 3 else 1), data=byte_array(image),
    )


def camera_to_msg(camera: Camera, stamp_ns: int, frame_id: str) -> CameraInfo:
    """Make a CameraInfo message; `p` is the pinhole that rectification leads to."""
    return CameraInfo(
        header=make_header(stamp_ns, frame_id), width=camera.width, height=camera.height,
        distortion_model=camera.distortion_model, d=[float(d) for d in camera.distortion],
        k=camera.K_33.ravel().tolist(), r=np.eye(3).ravel().tolist(),
        p=np.hstack([camera.K_33, np.zeros((3, 1))]).ravel().tolist(),
    )


def keyframe_to_msg(
    keyframe: Keyframe, map_id: str, encoder_hash: str, map_frame: str
) -> KeyframeMsg:
    """Pack a keyframe; arrays go as little-endian bytes."""
    camera = keyframe.camera
    reference_id, T_reference_cam = keyframe.reference or (0, np.eye(4))
    return KeyframeMsg(
        header=make_header(keyframe.stamp_ns, map_frame), map_id=map_id, id=keyframe.id,
        pose=pose_to_msg(keyframe.T_map_cam), has_reference=keyframe.reference is not None,
        reference_id=reference_id, reference_pose=pose_to_msg(T_reference_cam),
        submap=keyframe.submap, map_revision=keyframe.map_revision,
        encoder_hash=encoder_hash,
        count=len(keyframe.pixels_N2), dimension=keyframe.descriptors_i8_ND.shape[1],
        descriptors=byte_array(keyframe.descriptors_i8_ND),
        pixels=byte_array(keyframe.pixels_N2.astype("<f4")),
        points=byte_array(keyframe.points_cam_N3.astype("<f4")),
        fx=camera.fx, fy=camera.fy, cx=camera.cx, cy=camera.cy,
        width=camera.width, height=camera.height, **scan_fields(keyframe.scan),
    )


def keyframe_from_msg(msg: KeyframeMsg, most: int = MOST_FEATURES) -> Keyframe:
    """Unpack a keyframe of at most `most` features.

    Raises:
        DataError: array lengths do not fit the counts, numbers are not finite, there is no such
            submap, it is larger than any camera makes it, or its scan is none.
    """
    count, dimension = int(msg.count), int(msg.dimension)
    check_counts(msg.id, count, dimension, most)
    lengths = (len(msg.descriptors), len(msg.pixels), len(msg.points))
    if lengths != (count * dimension, count * 8, count * 12):
        raise DataError(
            f"keyframe {msg.id}: arrays of {lengths} bytes do not hold {count} features of "
            f"dimension {dimension}: run the same version in all nodes")
    pixels = np.frombuffer(msg.pixels, "<f4").reshape(count, 2).astype(np.float32)
    points = np.frombuffer(msg.points, "<f4").reshape(count, 3).astype(np.float32)
    if not (np.isfinite(pixels).all() and np.isfinite(points).all()):
        raise DataError(f"keyframe {msg.id}: points are not finite")
    if msg.submap > MOST_SUBMAPS:
        raise DataError(f"keyframe {msg.id}: submap {msg.submap} of at most {MOST_SUBMAPS}")
    reference = ((int(msg.reference_id), pose_from_msg(msg.reference_pose))
                 if msg.has_reference else None)
    keyframe = Keyframe(
        int(msg.id), stamp_to_ns(msg.header.stamp), pose_from_msg(msg.pose),
        np.frombuffer(msg.descriptors, np.int8).reshape(count, dimension).copy(),
        pixels, points,
        Camera(int(msg.width), int(msg.height), msg.fx, msg.fy, msg.cx, msg.cy), reference,
        int(msg.submap), int(msg.map_revision), scan_from_msg(msg),
    )
    check_keyframe(keyframe)
    return keyframe
