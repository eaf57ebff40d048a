"""What the three nodes share: parameters, lifecycle, encoder, diagnostics, error logging."""

from __future__ import annotations

import inspect
import re
import sys
import threading
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.task import Future

from ...core.encoders.base import Encoder
from ...core.encoders.loading import load_encoder
from ...core.errors import AceSlamError
from ...core.runtime.device import choose_device, set_threads
from ...weights_ipc.layout import segment_name
from ..outputs.diagnostics import ProcessUsage, Report
from ..parameters import declare_parameters
from ..qos import reliable_qos
from .worker import Worker, WorkerStoppedError

#: So many reasons are remembered as logged.
_LOGGED = 200
_NUMBER = re.compile(r"[\d.]+")
_DONE, _FAILED = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class SlamNode(LifecycleNode):
    """A managed node around one core object.

    Subclasses implement the five hooks: `setup` (encoder loaded: make core objects, publishers,
    services), `start` (subscriptions, worker), `pause_work`, `teardown`, and `report`.
    The services exist from configure on and must answer while inactive as well.
    """

    encoder: Encoder

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.config = declare_parameters(self)
        self.segment = segment_name(self.get_namespace())
        self.state_label = "unconfigured"
        self.reentrant = ReentrantCallbackGroup()
        self._worker: Worker | None = None
        self._failure: AceSlamError | None = None
        self._autostarting = False
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

    # Lifecycle -----------------------------------------------------------------------------

    def autostart(self) -> None:
        """Configure and activate without a lifecycle manager.

        Raises:
            AceSlamError: what kept the node from starting.
        """
        self._autostarting = True
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != _DONE:
                raise self._failure or AceSlamError("the node cannot start, see the log above")
        self._autostarting = False

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the encoder, make publishers and services."""
        return self._transition("inactive", self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start the worker."""
        return self._transition("active", self._activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the worker and unsubscribe."""
        return self._transition("inactive", self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop what configure made."""
        return self._transition("unconfigured", self.teardown)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop from any state."""
        return self._transition("finalized", self._finish)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop everything after a failed transition, so that configure can be tried again."""
        return self._transition("unconfigured", self._finish)

    def close(self) -> None:
        """Shut down from whatever state; called once by the process before it exits."""
        if self.state_label != "finalized":
            self.trigger_shutdown()

    def _transition(self, label: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            action()
        except AceSlamError as error:
            self._failure = error
            if not self._autostarting:  # who starts the process then says it
                self.get_logger().error(str(error))
            return _FAILED
        except Exception:
            self.log_exception(f"transition to {label}")
            return TransitionCallbackReturn.ERROR
        self.state_label = label
        return _DONE

    def _configure(self) -> None:
        set_threads(self.config.encoder.threads or 1)
        device = choose_device(self.config.device)
        self.encoder = load_encoder(self.config.encoder, device)
        self.encoder.warm_up()
        self.setup()
        self.get_logger().info(
            f"encoder {self.encoder.name} on {device}, segment {self.segment}")

    def _activate(self) -> None:
        step = self.start()
        self._worker = Worker(self.get_name(), step, self.log_exception)
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

    def _finish(self) -> None:
        if self.state_label == "active":
            self._deactivate()
            self.state_label = "inactive"
        if self.state_label == "inactive":
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
            self.get_logger().warning(text)

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
                self.get_logger().info(f"{name}: {done.message}")
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
        report.values |= {"state": self.state_label, **self._usage.values(device)}
        name = f"{self.get_fully_qualified_name().lstrip('/')}"
        self._diagnostics.publish(report.to_msg(name, self.get_clock().now().to_msg()))
