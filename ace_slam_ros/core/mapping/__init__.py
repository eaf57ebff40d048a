"""What the mapper is made of: keyframe buffer, window, alignment, loops and the pose graph."""
