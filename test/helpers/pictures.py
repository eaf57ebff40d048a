"""Pictures as a camera sees them, drawn in a millisecond."""

import cv2
import numpy as np
import torch

CPU = torch.device("cpu")


def picture(seed=0, size=(240, 320)):
    """Smooth random structure with edges, as a camera sees it."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.integers(0, 255, (15, 20), dtype=np.uint8), size[::-1])
    for _ in range(60):
        a = rng.integers(0, size[1], 2)
        cv2.rectangle(image, tuple(int(v) for v in a - 60), tuple(
            int(v) for v in a - 60 + rng.integers(4, 40, 2)), int(rng.integers(255)), -1)
    return image
