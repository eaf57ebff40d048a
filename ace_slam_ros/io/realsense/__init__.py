"""A RealSense camera as a source of frames: `realsense` or `realsense:SERIAL` as SOURCE."""
