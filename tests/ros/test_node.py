"""Laws of the node base class, on a small node of the test's own and real middleware."""

from dataclasses import dataclass

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from fabg_msgs.msg import Timing
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Int32
from std_srvs.srv import Trigger

from fabg.errors import ConfigError, InputError
from fabg.ros.node import FabgNode
from fabg.ros.params import param
from tests.conftest import wait_until

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    gain: float = param(1.0, "a gain", low=0.0, high=2.0, live=True)
    port: int = param(7, "a port", low=1, high=9)


class ToyNode(FabgNode[ToyConfig]):
    def __init__(self, **options):
        self.log = []
        super().__init__("toy", ToyConfig, **options)

    def setup(self):
        self.log.append("setup")
        self.seen = []
        self.subscribe(Int32, "/toy", self.on_number)
        self.serve(Trigger, "/toy_service", self.on_service)

    def start(self):
        self.log.append("start")

    def stop(self):
        assert not self.active, "callbacks have ended before the safe action"
        self.log.append("stop")

    def teardown(self):
        self.log.append("teardown")

    def on_number(self, message):
        if message.data < 0:
            raise InputError(f"{message.data} is negative")
        self.seen.append(message.data)
        self.finished(Time(sec=1), self.now_s())

    def on_service(self, request, response):
        raise InputError("not today")

    def on_parameters(self, config):
        self.log.append(f"gain {config.gain}")


@pytest.fixture
def toy(ros):
    import threading

    node, executor, stopping = ToyNode(), SingleThreadedExecutor(), threading.Event()
    executor.add_node(node)

    def spin():
        while not stopping.is_set():
            executor.spin_once(timeout_sec=0.05)

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    yield node
    stopping.set()
    thread.join(5.0)
    executor.shutdown()
    node.destroy_node()


def test_life_cycle_runs_in_order_and_can_be_repeated(toy):
    for _ in range(2):
        for transition in ("configure", "activate", "deactivate", "cleanup"):
            assert getattr(toy, f"trigger_{transition}")() == SUCCESS
    assert toy.log == ["setup", "start", "stop", "teardown"] * 2


def test_shutdown_from_active_is_safe(toy):
    toy.trigger_configure()
    toy.trigger_activate()
    assert toy.trigger_shutdown() == SUCCESS
    assert toy.log == ["setup", "start", "stop", "teardown"]


def test_an_exception_in_a_callback_is_counted_and_survived(toy, probe):
    toy.trigger_configure()
    toy.trigger_activate()
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
    timings = probe.collect(Timing, "/fabg/timing")
    numbers = probe.publisher(Int32, "/toy")
    for value in (1, -1, 2):
        numbers.publish(Int32(data=value))
    wait_until(lambda: toy.seen == [1, 2], "both good numbers")
    assert toy.health.counts["exceptions"] == 1

    def reported():
        for message in diagnostics:
            values = {v.key: v.value for v in message.status[0].values}
            if values.get("exceptions") == "1":
                return message.status[0], values
        return None

    status, values = wait_until(reported, "the exception in the diagnostics")
    assert status.level == b"\x02"
    assert "-1 is negative" in status.message
    assert values["state"] == "active"
    wait_until(lambda: len(timings) == 2, "two timings")
    assert (timings[0].stage, timings[0].header.stamp.sec) == ("toy", 1)


def test_callbacks_rest_while_inactive(toy, probe):
    toy.trigger_configure()
    numbers = probe.publisher(Int32, "/toy")
    numbers.publish(Int32(data=5))
    answer = probe.call(Trigger, "/toy_service", Trigger.Request())  # goes the same way, later
    assert (answer.success, answer.message) == (False, "not today")
    assert toy.seen == []


def test_a_failing_setup_leaves_the_node_unconfigured_and_mendable(toy):
    def broken():
        raise InputError("no such camera: /dev/video9")

    good, toy.setup = toy.setup, broken
    assert toy.trigger_configure() == FAILURE
    assert "video9" in str(toy.failure)
    toy.setup = good
    assert toy.trigger_configure() == SUCCESS
    assert toy.failure is None


def test_a_failing_stop_does_not_keep_things_open(toy):
    def broken():
        raise RuntimeError("servo bus is gone")

    toy.trigger_configure()
    toy.trigger_activate()
    toy.stop = broken
    assert toy.trigger_deactivate() == SUCCESS
    assert toy.trigger_cleanup() == SUCCESS
    assert toy.log[-1] == "teardown"


def _set(probe, **values):
    request = SetParameters.Request()
    request.parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
    return probe.call(SetParameters, "/toy/set_parameters", request).results[0]


def test_parameters_change_live_within_their_range(toy, probe):
    toy.trigger_configure()
    toy.trigger_activate()
    assert _set(probe, gain=1.5).successful
    assert toy.config.gain == 1.5
    assert toy.log[-1] == "gain 1.5"
    assert not _set(probe, gain=2.5).successful, "out of range"
    refused = _set(probe, port=8)
    assert not refused.successful
    assert "deactivate" in refused.reason
    assert (toy.config.gain, toy.config.port) == (1.5, 7)


def test_a_value_out_of_range_in_the_start_up_parameters_is_refused(ros):
    with pytest.raises(Exception, match="gain"):
        ToyNode(parameter_overrides=[Parameter("gain", value=9.0)])


def test_a_misspelt_parameter_is_refused(ros):
    with pytest.raises(ConfigError, match="gian.*expected some of.*gain"):
        ToyNode(parameter_overrides=[Parameter("gian", value=1.0)])
