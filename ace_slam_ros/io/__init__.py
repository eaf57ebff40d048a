"""Recorded sequences and image formats: TUM folders, rosbag2, ROS image encodings."""

from .calibration import camera_from_info, read_camera_yaml, write_camera_yaml
from .depth import (
    decode_compressed_depth,
    decode_depth,
    decode_depth_image,
    encode_compressed_depth,
    has_depth,
)
from .images import decode_compressed_image, decode_image, encode_jpeg, encode_png
from .open_source import open_source
from .source import SkipLog, Source
from .tum import write_tum_folder

__all__ = [
    "SkipLog", "Source", "camera_from_info", "decode_compressed_depth",
    "decode_compressed_image", "decode_depth", "decode_depth_image", "decode_image",
    "encode_compressed_depth", "encode_jpeg", "encode_png", "has_depth", "open_source",
    "read_camera_yaml", "write_camera_yaml", "write_tum_folder",
]
