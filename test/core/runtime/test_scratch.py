"""Scratch memory: arrays that do not overlap, and the same memory the next time."""

import numpy as np

from ace_slam_ros.core.runtime.scratch import Scratch, ScratchPool


def test_arrays_do_not_overlap_and_memory_is_used_again():
    scratch, addresses = Scratch(), []
    for _ in range(3):
        arrays = [scratch.array(3, 5), scratch.array(7), scratch.array(100, 2)]
        for k, array in enumerate(arrays):
            array[:] = k
        assert [a.shape for a in arrays] == [(3, 5), (7,), (100, 2)]
        assert all((a == k).all() and a.dtype == np.float32 for k, a in enumerate(arrays))
        addresses.append([a.ctypes.data for a in arrays])
        scratch.reuse()
    assert addresses[1] == addresses[2] and not any(a % 64 for a in addresses[2])
    larger = scratch.array(1000)
    larger[:] = 1.0
    assert len(larger) == 1000


def test_overlapping_works_have_their_own():
    pool = ScratchPool()
    with pool.lend() as one, pool.lend() as other:
        assert one is not other
    with pool.lend() as again:
        assert again in (one, other)
