"""One base class for all nodes: life cycle, parameters, guarded callbacks, diagnostics, timing.

A node fills in five methods, all optional but `setup`:

    setup()     open models and devices, make publishers          (configure)
    start()     subscriptions and timers begin to act             (activate)
    stop()      after the last callback: leave things safe        (deactivate)
    teardown()  close what setup opened                           (cleanup)
    on_parameters(config)  a live parameter has changed

Callbacks made with `subscribe`, `every` and `serve` run only while the node is active (services
answer always) and are guarded: an exception is logged and counted, and the node lives on.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from fabg_msgs.msg import Timing
from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from fabg.errors import ConfigError, FabgError, UsageError
from fabg.ros import params
from fabg.ros.executor import light_executor
from fabg.ros.health import Health
from fabg.ros.time import seconds

C = TypeVar("C")

NEWEST_ONLY = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""For images and other streams in which only the newest matters: older ones are dropped."""
RELIABLE = QoSProfile(depth=10)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""A late subscriber still receives the last message."""

EXIT_USAGE = 2
"""Exit status of a node whose configuration cannot work: starting it again would not help."""
EXIT_FAILURE = 1


class FabgNode(LifecycleNode, Generic[C]):
    """Base of all nodes.

    Parameters
    ----------
    name
        Node name; also its stage in the latency report.
    config_type
        Dataclass whose fields are the node's parameters (see `fabg.ros.params`).
    options
        Passed on to rclpy's node (``parameter_overrides``, ``namespace``, ...).
    """

    stage: ClassVar[str] = ""

    def __init__(self, name: str, config_type: type[C], **options: Any) -> None:
        super().__init__(name, **options)
        self.declare_parameter("autostart", True)
        self._config_type = config_type
        self.config: C = params.declare(self, config_type)
        self._refuse_unknown_parameters()
        self.health = Health()
        self.failure: Exception | None = None
        self._active = False
        self._lock = threading.RLock()
        self._owned: list[tuple[Callable[[Any], Any], Any]] = []
        self._last_logged: dict[str, float] = {}
        self._timing = self.create_publisher(Timing, "/fabg/timing", RELIABLE)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", RELIABLE)
        self.create_timer(1.0, self._publish_diagnostics)
        self.add_on_set_parameters_callback(self._on_set_parameters)

    # What a node fills in ------------------------------------------------------------------------

    def setup(self) -> None:
        """Open what the node needs. A raised error leaves the node unconfigured."""
        raise TypeError(f"{type(self).__name__} must define setup()")

    def start(self) -> None:
        """Begin to act."""

    def stop(self) -> None:
        """Leave things safe; called after the last callback has ended."""

    def teardown(self) -> None:
        """Close what `setup` opened."""

    def on_parameters(self, config: C) -> None:
        """Live parameters have changed; `self.config` is `config` already."""

    # What a node uses ----------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """True between activation and deactivation."""
        return self._active

    def now_s(self) -> float:
        """Return the ROS time in s."""
        return self.get_clock().now().nanoseconds * 1e-9

    def publisher(self, kind: type, topic: str, qos: QoSProfile | int = RELIABLE) -> Any:
        """Make a publisher that lives until clean-up."""
        made: Any = self.create_publisher(kind, topic, qos)
        self._owned.append((self.destroy_publisher, made))
        return made

    def subscribe(
        self,
        kind: type,
        topic: str,
        callback: Callable[[Any], None],
        qos: QoSProfile | int = RELIABLE,
        *,
        always: bool = False,
    ) -> Any:
        """Make a guarded subscription that acts while the node is active and lives until clean-up.

        With `always` it acts from configuration on: for latched topics that come only once.
        """
        guarded = self._guarded(callback, topic, only_active=not always)
        made = self.create_subscription(kind, topic, guarded, qos)
        self._owned.append((self.destroy_subscription, made))
        return made

    def every(self, period_s: float, callback: Callable[[], None], name: str = "timer") -> Any:
        """Make a guarded timer that acts while the node is active and lives until clean-up."""
        # The event-driven executor hands timers a TimerInfo, the others nothing.
        guarded = self._guarded(lambda *_: callback(), name, only_active=True)
        made = self.create_timer(period_s, guarded)
        self._owned.append((self.destroy_timer, made))
        return made

    def serve(self, kind: type, name: str, callback: Callable[[Any, Any], Any]) -> Any:
        """Make a service that lives until clean-up; an exception is answered by `success = False`."""

        def answer(request: Any, response: Any) -> Any:
            try:
                return callback(request, response)
            except Exception as error:
                self.report_exception(name, error)
                if hasattr(response, "success"):
                    response.success, response.message = False, str(error)
                return response

        made = self.create_service(kind, name, answer)
        self._owned.append((self.destroy_service, made))
        return made

    def finished(self, origin: Time, received_s: float, stage: str = "") -> None:
        """Report one message worked through.

        Parameters
        ----------
        origin
            Stamp of the image or operator frame that it all began with.
        received_s
            ROS time at which this node received its input, s.
        stage
            Name in the latency report; the node's own by default.
        """
        now = self.get_clock().now()
        now_s = now.nanoseconds * 1e-9
        self.health.observe((now_s - received_s) * 1e3, (now_s - seconds(origin)) * 1e3)
        message = Timing(stage=stage or self.stage or self.get_name(), finished=now.to_msg())
        message.header.stamp = origin
        total = round(received_s * 1e9)
        message.received.sec, message.received.nanosec = total // 10**9, total % 10**9
        self._timing.publish(message)

    def report_exception(self, where: str, error: Exception) -> None:
        """Count an exception; log it, but the same one at most once in five seconds."""
        text = f"{where}: {type(error).__name__}: {error}"
        self.health.exception(text)
        now = time.monotonic()
        if now - self._last_logged.get(where, -1e9) > 5.0:
            self._last_logged[where] = now
            self.get_logger().error(text)

    # Life cycle ----------------------------------------------------------------------------------

    def on_configure(self, state: Any) -> TransitionCallbackReturn:
        """Open everything; on failure close what was opened and stay unconfigured."""
        del state
        try:
            self.setup()
        except KeyboardInterrupt:  # an interrupt must not leave the life cycle between two states
            self._close()
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.failure = error
            self.get_logger().error(f"cannot be configured: {error}")
            self.health.error("configure", str(error))
            self._close()
            return TransitionCallbackReturn.FAILURE
        self.failure = None
        self.health.clear("configure")
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: Any) -> TransitionCallbackReturn:
        """Let the callbacks act."""
        with self._lock:
            try:
                self.start()
            except Exception as error:
                self.failure = error
                self.report_exception("activate", error)
                return TransitionCallbackReturn.FAILURE
            self._active = True
        return super().on_activate(state)

    def on_deactivate(self, state: Any) -> TransitionCallbackReturn:
        """Stop the callbacks first, then leave things safe."""
        self._deactivate()
        return super().on_deactivate(state)

    def on_cleanup(self, state: Any) -> TransitionCallbackReturn:
        """Close everything."""
        del state
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: Any) -> TransitionCallbackReturn:
        """Deactivate and close, from any state."""
        del state
        self._deactivate()
        self._close()
        return TransitionCallbackReturn.SUCCESS

    def _deactivate(self) -> None:
        with self._lock:
            was_active, self._active = self._active, False
            if was_active:
                self._quietly(self.stop, "stop")

    def _close(self) -> None:
        self._quietly(self.teardown, "teardown")
        for destroy, thing in self._owned:
            destroy(thing)
        self._owned.clear()

    def _quietly(self, action: Callable[[], None], where: str) -> None:
        # What follows must run whatever happens here: a failing stop must not keep a device open.
        try:
            action()
        except Exception as error:
            self.report_exception(where, error)

    # Machinery -----------------------------------------------------------------------------------

    def _refuse_unknown_parameters(self) -> None:
        # rclpy passes over what a parameter file names but no node declares: a typo would go unseen.
        given = set(getattr(self, "_parameter_overrides", {}))
        unknown = sorted(n for n in given if not self.has_parameter(n) and not n.startswith("qos_overrides."))
        if unknown:
            known = ", ".join(sorted(e.name for e in params.entries(self._config_type)))
            raise ConfigError(f"unknown parameters {', '.join(unknown)}: expected some of {known}")

    def _guarded(
        self, callback: Callable[..., None], where: str, *, only_active: bool
    ) -> Callable[..., None]:
        def run(*arguments: Any) -> None:
            with self._lock:
                if only_active and not self._active:
                    return
                try:
                    callback(*arguments)
                except Exception as error:
                    self.report_exception(where, error)

        return run

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        known = {entry.name for entry in params.entries(self._config_type)}
        updates = {p.name: p.value for p in parameters if p.name in known}
        if not updates:
            return SetParametersResult(successful=True)
        try:
            with self._lock:
                config = params.changed(self._config_type, self.config, updates, active=self._active)
                self.config = config
                if self._active:
                    self.on_parameters(config)
        except FabgError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _publish_diagnostics(self, *_: Any) -> None:
        level, text = self.health.summary()
        state = "active" if self._active else "inactive"
        status = DiagnosticStatus(name=f"fabg: {self.get_name()}", hardware_id="fabg", message=text)
        status.level = bytes([int(level)])
        values = {"state": state} | self.health.report()
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def run(node_type: Callable[[], FabgNode[Any]], *, light: bool = False) -> int:
    """Run one node in this process until SIGINT or SIGTERM; return the exit status.

    With the parameter ``autostart`` (the default) the node configures and activates itself; with
    ``autostart: false`` a life-cycle manager does. A node that cannot be configured because of what
    the user gave ends with status 2, any other failure with 1. `light` asks for the event-driven
    executor, which is experimental in rclpy but costs a node that wakes up often a third less.
    """
    # The context must outlive the signal: the node's safe action still publishes.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    stopping, spinning = threading.Event(), threading.Event()

    def end(*_: object) -> None:
        stopping.set()
        if not spinning.is_set():
            raise KeyboardInterrupt  # models load for seconds: do not wait for them

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    executor = (light_executor() if light else None) or SingleThreadedExecutor()
    node = None
    try:
        node = node_type()
        executor.add_node(node)
        if node.get_parameter("autostart").value and not _autostart(node):
            if stopping.is_set():
                return 0
            return EXIT_USAGE if isinstance(node.failure, UsageError) else EXIT_FAILURE
        spinning.set()
        while not stopping.is_set():
            executor.spin_once(timeout_sec=0.1)
    except KeyboardInterrupt:
        return 0
    except (ConfigError, ParameterException) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    finally:
        spinning.set()  # a second signal must not break the shutdown
        if node is not None:
            node.trigger_shutdown()
        executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _autostart(node: FabgNode[Any]) -> bool:
    done = TransitionCallbackReturn.SUCCESS
    return node.trigger_configure() == done and node.trigger_activate() == done
