"""A frame localized whole on the device, tried on the CPU: against the other way; its graph."""

import copy
import dataclasses
import functools
import itertools
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.device_programs import Operations, operations_of
from helpers.rooms import CONFIG, black, map_room

from ace_slam_ros.core.config.sections import EncoderConfig
from ace_slam_ros.core.data.frame import Frame
from ace_slam_ros.core.data.poses import Support
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.geometry.se3 import pose_error
from ace_slam_ros.core.heads.affine.head import AffineHead
from ace_slam_ros.core.heads.factory import load_head
from ace_slam_ros.core.heads.payload import unpack_head
from ace_slam_ros.core.localization.device import localizer as device_localizer
from ace_slam_ros.core.localization.device import replay
from ace_slam_ros.core.localization.device.localizer import DeviceFeatures, DeviceLocalizer
from ace_slam_ros.core.localization.device.replay import Replayed
from ace_slam_ros.core.localization.localizer import Localizer
from ace_slam_ros.core.tracking import tracker
from ace_slam_ros.core.tracking.result import TrackerState

GPU = [pytest.mark.cuda,
       pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")]
DEVICES = ["cpu", pytest.param("cuda", marks=GPU)]


@pytest.fixture(scope="module")
def blob(mapped):
    """Exported weights of the room's map."""
    return mapped[0].export_head()


def localizer(blob, device="cpu", as_a_whole=True):
    encoder = load_encoder(EncoderConfig(precision="fp32"), torch.device(device))
    found = Localizer(CONFIG, encoder, as_a_whole)
    found.head = load_head(blob, encoder, CONFIG).head
    return found


def locate(localizer, frame, submap=0, everywhere=False):
    return localizer.localize(localizer.describe(frame), submap, everywhere)


@pytest.mark.render
@pytest.mark.parametrize("device", DEVICES)
def test_frames_are_described_and_localized_as_on_the_cpu(blob, room_frames, device):
    here, there = localizer(blob, as_a_whole=False), localizer(blob, device)
    exact = device == "cpu"  # a GPU may round what convolutions multiply
    for frame in room_frames[5:70:13]:
        expected, found = here.describe(frame), there.describe(frame)
        assert isinstance(found, DeviceFeatures) and len(found) == len(expected)
        same = (found.pixels_N2 == expected.pixels_N2).all(axis=1)
        assert same.mean() > 0.99
        assert same.all() or not exact
        np.testing.assert_allclose(
            found.points_cam_N3[same], expected.points_cam_N3[same], atol=1e-5)
        assert (found.descriptors_ND * expected.descriptors_ND)[same].sum(axis=1).min() > 0.999
        a, b = here.localize(expected, 0, False), there.localize(found, 0, False)
        trans, rot = pose_error(a.T_map_cam, b.T_map_cam)
        assert trans < 2e-3 and np.degrees(rot) < 0.1
        assert b.confidence == pytest.approx(a.confidence, abs=0.005 if exact else 0.03)
        assert len(b.inliers_N) == len(found) and there.support.inlier_count == b.inlier_count
        assert (a.inliers_N == b.inliers_N)[same].mean() > (0.99 if exact else 0.95)
        assert b.inlier_ratio == pytest.approx(a.inlier_ratio, abs=0.005 if exact else 0.03)
        np.testing.assert_allclose(
            np.diag(b.covariance_66), np.diag(a.covariance_66), rtol=0.02 if exact else 0.3)


@pytest.mark.render
@pytest.mark.parametrize("device", DEVICES)
def test_no_pose_is_found_where_there_is_none(blob, room_frames, device):
    there, frame = localizer(blob, device), room_frames[30]
    noise = np.random.default_rng(0).integers(0, 256, frame.gray.shape, np.uint8)
    assert locate(there, Frame(0, noise, frame.depth_m, frame.camera)) is None
    assert there.support == Support()
    dark = there.describe(black(frame))
    assert len(dark) == dark.depth_count == 0 and there.localize(dark, 0, False) is None
    assert locate(there, frame) is not None
    there.clear()
    assert locate(there, frame) is None


@pytest.mark.render
@pytest.mark.parametrize("device", DEVICES)
def test_the_same_frames_give_the_same_bits(blob, room_frames, device):
    runs = [[locate(there, frame).T_map_cam for frame in room_frames[20:50:10]]
            for there in (localizer(blob, device), localizer(blob, device))]
    assert np.array_equal(*runs)


@pytest.mark.render
@pytest.mark.parametrize("device", DEVICES)
def test_features_of_an_earlier_frame_can_be_localized(blob, room_frames, device):
    there = localizer(blob, device)
    first, second = there.describe(room_frames[20]), there.describe(room_frames[45])
    again = localizer(blob, device)
    for features, frame in ((second, room_frames[45]), (first, room_frames[20]),
                            (second, room_frames[45]), (second, room_frames[45])):
        found, expected = there.localize(features, 0, False), locate(again, frame)
        assert pose_error(found.T_map_cam, expected.T_map_cam)[0] < 1e-3
    assert first.share(0.5) is first
    some = first.pick(np.arange(100))
    assert len(some) == 100 and not isinstance(some, DeviceFeatures)
    assert there.localize(first.pick(np.arange(len(first))), 0, False) is not None


@pytest.mark.slow
@pytest.mark.render
def test_a_tracker_maps_as_well(encoder, room_frames, monkeypatch):
    monkeypatch.setattr(tracker, "Localizer", functools.partial(Localizer, as_a_whole=True))
    mapper, results = map_room(encoder, room_frames[:30])
    assert len(mapper.keyframe_poses) >= 1
    assert all(result.state is TrackerState.TRACKING for result in results[1:])
    assert max(result.inlier_count for result in results) > 400


@pytest.mark.render
def test_submaps_are_kept_apart(blob, room_frames):
    there, frame = localizer(blob), room_frames[30]
    arrays = unpack_head(blob).arrays
    arrays["submap"] = np.full(len(arrays["slopes"]), 2, np.uint8)
    there.head = AffineHead(arrays, there._encoder.codebook, 1)
    there.submaps = (2,)
    assert locate(there, frame) is None
    assert locate(there, frame, submap=2).submap == 2
    assert locate(there, frame, everywhere=True).submap == 2


@pytest.mark.render
def test_what_the_device_cannot_take_goes_the_other_way(blob, room_frames, monkeypatch):
    there, frame = localizer(blob), room_frames[30]
    odd = Frame(0, frame.gray[:, :639], frame.depth_m[:, :639],
                dataclasses.replace(frame.camera, width=639))
    assert not isinstance(there.describe(odd), DeviceFeatures)
    assert locate(there, odd) is not None
    assert np.isnan(there.describe(Frame(0, frame.gray, None, frame.camera)).points_cam_N3).all()
    features = there.describe(frame)
    monkeypatch.setattr(device_localizer, "_MOST_SLOTS", 4)
    there.head = copy.copy(there.head)
    assert there._device.use_head(there.head) is False
    assert there.localize(features, 0, False) is not None
    assert isinstance(there.describe(frame), DeviceFeatures)


@pytest.mark.render
def test_frames_may_change_their_size(blob, room_frames):
    there, frame = localizer(blob), room_frames[30]
    features = there.describe(frame)
    half = frame.half.half  # fewer cells than features
    small = there.describe(half)
    assert isinstance(small, DeviceFeatures) and not there._device.fits(features)
    assert 0 < len(small) <= half.gray.size // there._encoder.stride**2
    there.localize(small, 0, False)
    assert there.localize(features, 0, False) is not None  # the other way
    assert locate(there, frame) is not None


@pytest.mark.render
def test_a_new_head_of_the_same_shapes_keeps_tables_and_graphs(blob, room_frames):
    there = localizer(blob)
    features = there.describe(room_frames[30])
    graph, table = there._device._frame, there._device._experts.sigma_E
    there.head = copy.copy(there.head)
    W_EP3 = there.head.experts.W_EP3.copy()
    W_EP3[:, -1, 0] += 5.0
    there.head.experts = dataclasses.replace(there.head.experts, W_EP3=W_EP3)
    moved = there.localize(features, 0, False)
    assert there._device._frame is graph and there._device._experts.sigma_E is table
    here = locate(localizer(blob), room_frames[30])
    np.testing.assert_allclose(moved.T_map_cam[:3, 3] - here.T_map_cam[:3, 3], [5, 0, 0],
                               atol=2e-3)


@pytest.mark.render
def test_a_graph_can_record_all_of_it(blob, room_frames):
    """No shape depends on a value, no value is asked for, and nothing comes from the CPU."""
    there = localizer(blob)
    locate(there, room_frames[30])
    for operations in operations_of(there._device):
        assert len(operations.names) > 300 and operations.elsewhere == []


@pytest.mark.parametrize("work", [
    lambda x: x.sum().item(), lambda x: x[x > 0], torch.nonzero, torch.unique,
    lambda x: bool(x.sum() > 0), lambda x: x + torch.tensor([1.0, 2.0, 3.0]),
    lambda x: x.new_tensor([1.0, 2.0, 3.0])])
def test_what_a_graph_cannot_record_would_be_seen(work):
    for device in ("meta", "cpu"):
        with Operations(device) as operations:
            try:
                work(torch.ones(3, device=device))
            except (RuntimeError, NotImplementedError):
                return
        if operations.elsewhere:
            return
    pytest.fail("it was not seen")


class _Graphs:
    """As much of `torch.cuda` as a recording needs, with or without success."""

    def __init__(self, fails):
        self.fails, self.replays = fails, itertools.count()

    def namespace(self):
        def nothing(*_args, **_options):
            return SimpleNamespace(__enter__=None, wait_stream=lambda _stream: None)

        class Context:
            def __init__(self, *_args, **_options):
                pass

            def __enter__(self):
                return self

            def __exit__(self, *_error):
                return False

        outer = self

        class Recording(Context):
            def __enter__(self):
                if outer.fails:
                    raise RuntimeError("operation not permitted\nmore")

        return SimpleNamespace(cuda=SimpleNamespace(
            device=Context, stream=Context, Stream=nothing, current_stream=nothing,
            CUDAGraph=lambda: SimpleNamespace(replay=lambda: next(outer.replays)),
            graph=Recording, synchronize=nothing))


@pytest.mark.parametrize("fails", [False, True])
def test_work_is_replayed_or_done_again(fails, monkeypatch, caplog):
    calls, graphs = itertools.count(), _Graphs(fails)
    monkeypatch.setattr(replay, "torch", graphs.namespace())
    work = Replayed(lambda: next(calls), SimpleNamespace(type="cuda"))
    with caplog.at_level(logging.WARNING):
        results = [work() for _ in range(3)]
    assert work.recorded is not fails
    if fails:
        assert results == [3, 4, 5]  # three to warm up
        assert [r.getMessage() for r in caplog.records] == [
            "no CUDA graph, kernels are started one by one: operation not permitted"]
    else:
        assert results == [3, 3, 3] and next(graphs.replays) == 3 and not caplog.records


def test_on_a_cpu_work_is_done_every_time():
    calls = itertools.count()
    work = Replayed(lambda: next(calls), torch.device("cpu"))
    assert [work(), work()] == [0, 1] and not work.recorded


@pytest.mark.cuda
@pytest.mark.render
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_replay_says_what_the_kernels_say_one_by_one(blob, room_frames):
    encoder = load_encoder(EncoderConfig(), torch.device("cuda"))
    head = load_head(blob, encoder, CONFIG).head
    replayed, eager = (DeviceLocalizer(CONFIG, encoder, record) for record in (True, False))
    for frame in room_frames[20:50:10]:
        found = []
        for there in (replayed, eager):
            assert there.use_head(head)
            found.append(there.localize(there.describe(frame), 0))
        np.testing.assert_allclose(found[0].T_map_cam, found[1].T_map_cam, atol=1e-4)
        assert abs(found[0].inlier_count - found[1].inlier_count) <= 3
    assert replayed.recorded and not eager.recorded
