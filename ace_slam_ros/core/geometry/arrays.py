"""Names for the array types that flow through the core; shapes are in the names of variables."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]
Int16Array = npt.NDArray[np.int16]
Int8Array = npt.NDArray[np.int8]
Float32Image = npt.NDArray[np.float32]
UInt8Image = npt.NDArray[np.uint8]
