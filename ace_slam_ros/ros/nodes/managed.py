"""A managed node that can also start by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from ...core.errors import AceSlamError
from ...core.runtime.process_age import process_age_s
from .bond import Bond, bond_status

_DONE, _FAILED = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class ManagedNode(LifecycleNode):
    """Goes through the states of a managed node, told by a lifecycle manager or by itself.

    Subclasses implement what each transition does; an `AceSlamError` in it leaves the state as it
    was, any other error drops everything.

    Attributes:
        state_label: unconfigured, inactive, active or finalized.
    """

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self.state_label = "unconfigured"
        self._failure: AceSlamError | None = None
        self._autostarting = False
        self._bond: Bond | None = None
        for service in self.services:
            if service.srv_type is ChangeState:
                service.callback = self._answering(service.callback)

    def _answering(self, change: Callable[..., Any]) -> Callable[..., Any]:
        """Let who orders a transition that is none from here be answered; rclpy raises instead."""
        def answer(request: ChangeState.Request, response: ChangeState.Response) -> Any:
            try:
                return change(request, response)
            except Exception as error:  # rclpy's has no public name
                name = request.transition.label or request.transition.id
                self.get_logger().warning(
                    f"transition {name} refused: the node is {self.state_label} ({error})")
                response.success = False
                return response

        return answer

    # What a subclass does --------------------------------------------------------------------

    def _configure(self) -> None:
        """Unconfigured -> inactive: make what needs time and memory."""
        raise NotImplementedError

    def _activate(self) -> None:
        """Inactive -> active: begin to work."""
        raise NotImplementedError

    def _deactivate(self) -> None:
        """Active -> inactive: stop working."""
        raise NotImplementedError

    def _cleanup(self) -> None:
        """Inactive -> unconfigured: drop what `_configure` made."""
        raise NotImplementedError

    def summary(self) -> str:
        """Say in some words what a configured node runs with."""
        raise NotImplementedError

    def log_exception(self, where: str) -> None:
        """Log the current exception."""
        raise NotImplementedError

    # Transitions -----------------------------------------------------------------------------

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
        self.get_logger().info(
            f"active after {process_age_s():.1f} s: {self.summary()}")

    def close(self) -> None:
        """Shut down from whatever state; called once by the process before it exits."""
        if self.state_label != "finalized":
            self.trigger_shutdown()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Make what needs time and memory."""
        return self._transition("inactive", self._configure, told=True)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to work, and send a heartbeat to who manages the node."""
        done = self._transition("active", self._activate)
        status = None if self._autostarting or done != _DONE else bond_status()
        if status is not None:
            self._bond = Bond(self, status)
        return done

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working."""
        self._end_bond()
        return self._transition("inactive", self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop what configure made."""
        return self._transition("unconfigured", self._cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop from any state."""
        return self._transition("finalized", self._finish)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop everything after a failed transition, so that configure can be tried again."""
        return self._transition("unconfigured", self._finish)

    def _transition(
        self, label: str, action: Callable[[], None], told: bool = False
    ) -> TransitionCallbackReturn:
        """Do what belongs to a transition, and say in one line what became of it."""
        before = self.state_label
        try:
            action()
        except AceSlamError as error:
            self._failure = error
            if not self._autostarting:  # who starts the process then says it
                self.get_logger().error(f"stays {before}: {error}")
            return _FAILED
        except Exception:
            self.log_exception(f"transition to {label}")
            return TransitionCallbackReturn.ERROR
        self.state_label = label
        if not self._autostarting and label != "finalized":
            summary = f": {self.summary()}" if told else ""
            self.get_logger().info(f"{label} (was {before}){summary}")
        return _DONE

    def _end_bond(self) -> None:
        if self._bond is not None:
            self._bond.end()
            self._bond = None

    def _finish(self) -> None:
        self._end_bond()
        if self.state_label == "active":
            self._deactivate()
            self.state_label = "inactive"
        if self.state_label == "inactive":
            self._cleanup()
