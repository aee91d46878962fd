"""How a node's process begins and ends."""

import signal
import subprocess
import sys

import pytest

from fabg.ros.bringup import node_environment
from tests.conftest import wait_until

pytestmark = pytest.mark.graph

SLOW = """
import sys, threading
from fabg.nodes.monitor import MonitorNode
from fabg.ros.node import run
class Slow(MonitorNode):
    def setup(self):
        print("loading", flush=True)
        {work}
sys.exit(run(Slow))
"""


def _start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=node_environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_node_that_is_still_loading(ros, number):
    process = _start(SLOW.format(work="threading.Event().wait()"))
    assert process.stdout.readline() == "loading\n"
    process.send_signal(number)
    assert process.wait(20) == 0
    process.stdout.close()


def test_a_usage_error_ends_with_status_2_and_its_message(ros):
    process = _start(SLOW.format(work="from fabg.errors import InputError; raise InputError('no such film')"))
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "no such film" in output and "Traceback" not in output


def test_any_other_failure_ends_with_status_1(ros):
    process = _start(SLOW.format(work="raise RuntimeError('bus is gone')"))
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "bus is gone" in output


def test_a_life_cycle_manager_may_take_over(ros, probe):
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState, GetState

    process = _start(
        "import sys; from fabg.nodes.monitor import main; sys.exit(main())",
        "--ros-args",
        "-p",
        "autostart:=false",
    )
    try:
        state = lambda: probe.call(GetState, "/monitor/get_state", GetState.Request()).current_state.label  # noqa: E731
        assert state() == "unconfigured"
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            assert probe.call(ChangeState, "/monitor/change_state", request).success
        wait_until(lambda: state() == "active", "the active state")
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        process.stdout.close()
