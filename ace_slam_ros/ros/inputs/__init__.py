"""Camera topics to frames: pairing of color and depth, extrinsic."""
