"""A synthetic scene for tests of heads: descriptors that are a smooth code of the map point."""

from types import SimpleNamespace

import numpy as np
import torch

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.data.camera import Camera
from ace_slam_ros.core.data.features import Features
from ace_slam_ros.core.data.keyframe import Keyframe
from ace_slam_ros.core.encoders.codebook import Codebook
from ace_slam_ros.core.geometry.se3 import exp_se3, transform_points

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
DIMENSION = 32


def describe(x_map_N3):
    """Unit-norm descriptors (N, 32) of map points."""
    rng = np.random.default_rng(7)
    frequency, phase = rng.normal(size=(3, DIMENSION)) * 1.2, rng.uniform(0, 6.28, DIMENSION)
    d = np.cos(x_map_N3 @ frequency + phase)
    return (d / np.linalg.norm(d, axis=1, keepdims=True)).astype(np.float32)


def some_points(rng, count=300, low=(-1.0, -0.8, 1.0), high=(1.0, 0.8, 2.6)):
    return rng.uniform(low, high, size=(count, 3))


def keyframe(identifier, x_map_N3, T_map_cam=None, T_believed=None):
    """What a camera at T_map_cam sees of map points, with the pose it is believed to have."""
    T_map_cam = np.eye(4) if T_map_cam is None else T_map_cam
    y = transform_points(np.linalg.inv(T_map_cam), x_map_N3).astype(np.float32)
    features = Features(describe(x_map_N3), np.zeros((len(y), 2), np.float32), y)
    return Keyframe.from_features(
        identifier, identifier, T_map_cam if T_believed is None else T_believed, features, CAMERA)


def keyframes(count, seed=0, points=300):
    rng = np.random.default_rng(seed)
    return [keyframe(k, some_points(rng, points), exp_se3(rng.normal(size=6) * 0.05))
            for k in range(count)]


def config(head_type, **values):
    """Small networks, so that a test takes a second."""
    return SlamConfig().with_values({f"head.{name}": value for name, value in {
        "type": head_type, "hidden_width": 64, "grid_cells": 8, "batch_features": 256,
        "steps_first": 150, "steps_per_keyframe": 40, "learning_rate": 0.005, **values}.items()})


def encoder():
    """What heads use of an encoder: words on the scene's descriptors, projection, device."""
    generator = torch.Generator().manual_seed(0)
    points = some_points(np.random.default_rng(1), 128)
    words = torch.from_numpy(describe(points))
    projection, _ = torch.linalg.qr(torch.randn(DIMENSION, 12, generator=generator))
    return SimpleNamespace(
        name="test", hash="cafe", dimension=DIMENSION, device=torch.device("cpu"),
        codebook=Codebook(words, projection * 8.0, words[:8].clone()))
