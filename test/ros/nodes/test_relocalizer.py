"""Answers of the relocalizer when things go wrong."""

import asyncio
from types import SimpleNamespace

import pytest

from ace_slam_ros.core.config.sections import SlamConfig
from ace_slam_ros.core.errors import DataError
from ace_slam_ros.ros.nodes.relocalizer import RelocalizerNode
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


@pytest.mark.parametrize(("error", "reason"), [
    (DataError("no image"), Relocalize.Response.BAD_REQUEST),
    (ZeroDivisionError("a bug"), Relocalize.Response.ERROR),
])
def test_errors_become_answers(error, reason):
    def fail(request, response, pair):
        raise error

    response = ask(fail)
    assert not response.success and response.reason == reason and str(error) in response.message
