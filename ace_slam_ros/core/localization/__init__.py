"""Pose from scene coordinates alone: hypotheses, proposals, RGB-D and RGB solvers."""
