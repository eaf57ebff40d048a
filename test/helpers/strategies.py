"""Strategies of hypothesis that several tests use."""

import numpy as np
from hypothesis import strategies as st

small = st.floats(-1.5, 1.5)
twists = st.tuples(small, small, small, small, small, small).map(np.array)
