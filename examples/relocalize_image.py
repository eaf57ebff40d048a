#!/usr/bin/env python3
"""Tells where one image was taken, in a saved map and without any prior.

    .venv/bin/python examples/relocalize_image.py MAP IMAGE [--depth DEPTH.png] [--camera FILE]

Depth is a 16-bit PNG registered to the image. FILE is a camera.yaml as TUM folders have it;
without it, the image must be of the map's camera, with the lens distortion taken out.
"""

import argparse
from pathlib import Path

import cv2
import torch

from ace_slam_ros.core import Frame, Relocalizer, SlamConfig, load_encoder, load_map
from ace_slam_ros.core.localization.relocalizer import Relocalization
from ace_slam_ros.io import decode_depth, read_camera_yaml
from ace_slam_ros.io.depth import decode_depth_png
from ace_slam_ros.io.pairs import rectify


def relocalize(
    map_dir: Path, image_file: Path, depth_file: Path | None = None,
    camera_file: Path | None = None,
) -> Relocalization:
    """Return where an image was taken."""
    config = SlamConfig()
    encoder = load_encoder(config.encoder, torch.device("cpu"))
    stored = load_map(map_dir, encoder_hash=encoder.hash)
    relocalizer = Relocalizer(config, encoder)
    relocalizer.set_head(stored.head, version=1)

    camera, units_per_m = stored.manifest.camera, 5000.0
    if camera_file is not None:
        camera, said = read_camera_yaml(camera_file)
        if said is None and depth_file is not None:
            raise SystemExit(f"{camera_file} does not tell the unit of depth: add depth_scale")
        units_per_m = said or units_per_m
    image, depth_m = cv2.imread(str(image_file), cv2.IMREAD_GRAYSCALE), None
    if depth_file is not None:
        depth_m = decode_depth(decode_depth_png(depth_file.read_bytes()), "16UC1", units_per_m)
    image, depth_m = rectify(camera, image, depth_m)
    return relocalizer.locate(Frame(0, image, depth_m, camera.without_distortion()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("map", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--depth", type=Path)
    parser.add_argument("--camera", type=Path)
    args = parser.parse_args()
    found = relocalize(args.map, args.image, args.depth, args.camera)
    print(found.T_map_cam if found.success else f"not found: {found.message}")
