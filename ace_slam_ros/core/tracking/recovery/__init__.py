"""What becomes of a lost camera: other views, unknown places, the way back to the map."""
