"""What flows between the stages: cameras, frames, features, keyframes, poses, edges."""
