"""Answers of the relocalizer when things go wrong."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from geometry_msgs.msg import PoseWithCovariance

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.ros.nodes.relocalizer import RelocalizerNode, _hint
from ace_slam_ros.ros.outputs.diagnostics import Window
from ace_slam_ros.srv import Relocalize


def ask(locate, waiting=0):
    async def in_worker(job):
        return job()

    async def no_pair(request):
        return None

    node = SimpleNamespace(
        _waiting=waiting, config=SlamConfig(), in_worker=in_worker, _latency=Window(), _counts={},
        _locate=locate, _pair_for=no_pair, log_exception=lambda where: None)
    response = asyncio.run(
        RelocalizerNode._answer(node, Relocalize.Request(), Relocalize.Response()))
    assert node._waiting == waiting
    return response


def test_too_many_callers_are_told_so():
    def never(request, response, pair):
        raise AssertionError("the worker must not be asked")

    response = ask(never, waiting=SlamConfig().relocalizer.queue)
    assert not response.success and response.reason == Relocalize.Response.BUSY


def test_a_prior_without_covariance_is_none_and_a_bad_one_is_refused():
    prior = PoseWithCovariance()
    assert _hint(prior) is None
    prior.covariance = (np.eye(6) * 0.25).ravel().tolist()
    prior.pose.orientation.w, prior.pose.position.x = 1.0, 2.0
    hint = _hint(prior)
    assert hint.T_map_cam[0, 3] == 2.0 and hint.covariance_66[0, 0] == 0.25
    for bad in (np.full(36, np.nan), (-np.eye(6)).ravel()):
        prior.covariance = bad.tolist()
        with pytest.raises(DataError, match="covariance of prior"):
            _hint(prior)
    prior.covariance = np.eye(6).ravel().tolist()
    prior.pose.orientation.w = 0.0
    with pytest.raises(DataError, match="no rigid pose"):
        _hint(prior)


@pytest.mark.parametrize(("error", "reason"), [
    (DataError("no image"), Relocalize.Response.BAD_REQUEST),
    (ZeroDivisionError("a bug"), Relocalize.Response.ERROR),
])
def test_errors_become_answers(error, reason):
    def fail(request, response, pair):
        raise error

    response = ask(fail)
    assert not response.success and response.reason == reason and str(error) in response.message
