"""What the three nodes share: parameters, encoder, worker, diagnostics, error logging."""

from __future__ import annotations

import inspect
import re
import sys
import threading
import traceback
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.task import Future

from ...core.data.scene_mask import SceneMask
from ...core.encoders.loading import load_encoder
from ...core.errors import AceSlamError, one_line
from ...core.runtime.device import choose_device, set_threads
from ...core.runtime.memory import give_back_freed_memory
from ...io.warm_up import warm_up_inputs
from ...weights_ipc.layout import segment_name
from ..messages.compat import libraries_in_use
from ..outputs.diagnostics import ProcessUsage, Report
from ..parameters import TELLS_OVERRIDES, config_for_camera, declare_parameters
from ..process.core_logging import core_log_in
from ..qos import reliable_qos
from ..quiet_events import EventGroup
from .managed import ManagedNode
from .worker import Worker, WorkerStoppedError

if TYPE_CHECKING:
    from ...core.encoders.base import Encoder

#: So many reasons are remembered as logged.
_LOGGED = 200
_NUMBER = re.compile(r"[\d.]+")


def choose_libraries(logger: Any) -> str:
    """Return which ROS libraries this process uses; log a warning for each that is broken."""
    with core_log_in(logger):
        return libraries_in_use()


class SlamNode(ManagedNode):
    """A managed node around one core object.

    Subclasses implement the five hooks: `setup` (encoder loaded: make core objects, publishers,
    services), `start` (subscriptions, worker), `pause_work`, `teardown`, and `report`.
    The services exist from configure on and must answer while inactive as well.

    Attributes:
        lost: what was to be saved at the end and is not; empty = nothing.
    """

    encoder: Encoder
    #: Whether images are described here; of an encoder that describes none only the words count.
    describes_images = True
    #: By which the worker gives way: where processors are short, the tracker is first.
    niceness = 0

    def __init__(self, name: str) -> None:
        super().__init__(name, **TELLS_OVERRIDES)
        libraries = choose_libraries(self.get_logger())
        self.config, sensor = config_for_camera(self, declare_parameters(self))
        self.get_logger().info(str(sensor))
        if not self.config.ros.autostart:
            self.get_logger().info("unconfigured: waiting for a lifecycle manager "
                                   f"(ros.autostart is false), libraries: {libraries}")
        self.segment = segment_name(self.get_namespace())
        self.lost = ""
        self.reentrant, self._events = ReentrantCallbackGroup(), EventGroup()
        self._worker: Worker | None = None
        self._usage = ProcessUsage()
        self._logged: dict[str, None] = {}
        self._logged_lock = threading.Lock()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", reliable_qos())
        # Diagnostics must go on when simulated time stands still.
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._publish_diagnostics, clock=self.steady_clock)

    # Hooks ---------------------------------------------------------------------------------

    def setup(self) -> None:
        """Make core objects, publishers and services."""
        raise NotImplementedError

    def start(self) -> Callable[[], None]:
        """Make subscriptions; return the step that the worker thread repeats."""
        raise NotImplementedError

    def pause_work(self) -> None:
        """Drop the subscriptions; the worker has stopped."""
        raise NotImplementedError

    def teardown(self) -> None:
        """Drop everything `setup` made."""
        raise NotImplementedError

    def report(self) -> Report:
        """Describe the state for diagnostics."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Drop what outlives the process, which ends while it configures; from any thread."""

    # Lifecycle -----------------------------------------------------------------------------

    def _configure(self) -> None:
        SceneMask(self.config.sensor.mask)  # refused now, not with the first image
        set_threads(self.config.encoder.threads or 1)
        device = choose_device(self.config.device)
        self.encoder = load_encoder(
            self.config.encoder, device, describes=self.describes_images)
        self.warm_up()
        self.setup()
        give_back_freed_memory()

    def summary(self) -> str:
        """Say what a configured node runs with."""
        return (f"encoder {self.encoder.name} ({self.encoder.runs_in}), segment {self.segment}, "
                f"libraries: {libraries_in_use()}")

    def warm_up(self) -> None:
        """Run once what the first image must not wait for."""
        if self.describes_images:
            self.encoder.warm_up()
            warm_up_inputs()

    def _activate(self) -> None:
        step = self.start()
        self._events.take_over(self)
        self._worker = Worker(self.get_name(), step, self.log_exception, self.niceness)
        self._worker.start()

    @property
    def worker(self) -> Worker:
        """The worker of the active node."""
        if self._worker is None:
            raise WorkerStoppedError(f"the node is {self.state_label}: activate it")
        return self._worker

    def _deactivate(self) -> None:
        if self._worker is not None and not self._worker.stop():
            self.get_logger().error("the worker does not stop")
        self._worker = None  # only now: its last step may still ask for it
        self.pause_work()

    def _cleanup(self) -> None:
        self.teardown()

    # Errors and diagnostics ------------------------------------------------------------------

    def log_exception(self, where: str) -> None:
        """Log the current exception: the traceback once per place and reason, then one line."""
        text = traceback.format_exc()
        line = text.strip().splitlines()[-1]
        place = [f"{f.f_code.co_name}:{n}" for f, n in traceback.walk_tb(sys.exc_info()[2])]
        if self._is_new(f"{' '.join(place)} {_NUMBER.sub('#', line)}"):
            self.get_logger().error(f"unexpected error in {where}: {text}")
        else:
            self.get_logger().error(f"unexpected error in {where}: {line}",
                                    throttle_duration_sec=5.0)

    def _is_new(self, key: str) -> bool:
        """Tell whether a reason was not logged yet; the oldest of very many are forgotten."""
        with self._logged_lock:
            if key in self._logged:
                return False
            self._logged[key] = None
            if len(self._logged) > _LOGGED:
                del self._logged[next(iter(self._logged))]
            return True

    def in_worker(self, job: Callable[[], Any]) -> Future:
        """Let the worker thread do a job; await the future for its result or exception."""
        future: Future = Future()
        worker, executor = self._worker, self.executor
        if worker is None:
            future.set_exception(
                WorkerStoppedError(f"the node is {self.state_label}: activate it"))
        else:
            # A finished future does not wake the executor that resumes the awaiting coroutine.
            worker.submit(job, future, executor.wake if executor is not None else lambda: None)
        return future

    def log_once(self, key: str, text: str) -> None:
        """Warn once per key; keys that differ in numbers alone are the same."""
        if self._is_new(_NUMBER.sub("#", key)):
            self.get_logger().warning(one_line(text))

    def guarded_service(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a service handler so that an error becomes an unsuccessful answer.

        An `async` handler may await `in_worker`; its service then needs `self.reentrant`.
        """
        name = handler.__name__.strip("_")

        @wraps(handler)
        async def answer(request: Any, response: Any) -> Any:
            try:
                found = handler(request, response)
                done = await found if inspect.isawaitable(found) else found
                self.get_logger().info(f"{name}: {one_line(done.message)}")
                return done
            except AceSlamError as error:
                response.message = str(error)
                self.get_logger().warning(f"{name} refused: {error}")
            except Exception as error:
                self.log_exception(name)
                response.message = f"unexpected error: {error}"
            response.success = False
            return response
        return answer

    def _publish_diagnostics(self) -> None:
        report = Report()
        if self.state_label == "active":
            report = self.report()
        else:
            report.warn(f"{self.state_label}: waiting for a lifecycle manager to activate it")
        device = self.encoder.device if self.state_label in ("active", "inactive") else None
        report.values |= {"state": self.state_label, "libraries": libraries_in_use(),
                          **self._usage.values(device)}
        name = f"{self.get_fully_qualified_name().lstrip('/')}"
        self._diagnostics.publish(report.to_msg(name, self.get_clock().now().to_msg()))
        if self.state_label == "active":
            self._events.take_over(self)  # those of subscriptions made anew as well
        self._events.look()
