"""Maps on disk: manifest, folder, keyframe file."""
