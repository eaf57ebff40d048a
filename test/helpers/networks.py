"""Networks of trained heads, far from their start."""

import numpy as np
import torch

CPU = torch.device("cpu")
LOW, HIGH = np.array([-1.0, -0.5, 0.5]), np.array([1.0, 0.7, 2.9])
