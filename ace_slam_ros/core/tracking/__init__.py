"""The tracker and its policies: pose selection, scheduling, keyframes, moving objects."""
