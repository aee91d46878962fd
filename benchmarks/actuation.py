"""The actuation node at 50 Hz: how even its period is and what a tick costs.

    python benchmarks/actuation.py --seconds 60 --json actuation.json

A real node in a process of its own follows a policy at 25 Hz that changes its mind all the time;
joint states come at 100 Hz. Targets on an idle machine: p99 of the period error <= 5 ms, <= 2 ms
of CPU a tick (everything the process does in a second, over 50 ticks).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe, parse, resident_mib, save

RATE_HZ = 50.0


def core_us(ticks: int = 3000) -> dict[str, float]:
    """Return what the parts of one tick cost, µs (medians)."""
    from fabg import expression
    from fabg.robot.actuator import Actuator
    from fabg.robot.model import load_robot

    robot = load_robot()
    actuator, rng = Actuator(robot), np.random.default_rng(0)
    spent: dict[str, list[float]] = {"tick": [], "offer": [], "retarget": [], "limit": [], "inverse": []}

    def timed(name: str, call: Any) -> Any:
        began = time.perf_counter()
        result = call()
        spent[name].append((time.perf_counter() - began) * 1e6)
        return result

    limiter = Actuator(robot).limiter
    vector, pose = expression.neutral(), robot.neutral
    for k in range(ticks):
        now = 1.0 + k / RATE_HZ
        if k % 2 == 0:
            vector = _expression(rng)
            timed("offer", lambda v=vector, t=now: actuator.arbiter.offer("policy", v, t, t))
        actuator.saw_joints(pose, now)
        tick = timed("tick", lambda t=now: actuator.tick(t, 1 / RATE_HZ))
        pose = tick.command
        joints = timed("retarget", lambda v=vector: actuator.retargeter.to_joints(v))
        timed("limit", lambda q=joints: limiter.step(q, 1 / RATE_HZ))
        if k % 50 == 0:
            timed("inverse", lambda q=joints: actuator.retargeter.to_expression(q))
    return {name: round(float(np.median(values)), 1) for name, values in spent.items()}


def _expression(rng: np.random.Generator) -> np.ndarray:
    vector = rng.uniform(0.0, 1.0, 61) * (rng.random(61) < 0.3)
    vector[52:] = rng.uniform(-0.4, 0.4, 9)
    return vector


class Surroundings:
    """A robot that obeys at once and reports at 100 Hz, and a policy that speaks at 25 Hz."""

    def __init__(self) -> None:
        import rclpy
        from fabg_msgs.msg import ExpressionChunk
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from sensor_msgs.msg import JointState
        from std_msgs.msg import Float64MultiArray

        from fabg.robot.model import load_robot

        rclpy.init()
        self._robot, self._rng = load_robot(), np.random.default_rng(0)
        self._pose = self._robot.neutral
        self.arrivals: list[float] = []
        self._node, self._executor = Node("actuation_benchmark"), SingleThreadedExecutor()
        self._executor.add_node(self._node)
        topic = "/forward_command_controller/commands"
        self._node.create_subscription(Float64MultiArray, topic, self._obey, 10)
        self._states = self._node.create_publisher(JointState, "/joint_states", 10)
        self._chunks = self._node.create_publisher(ExpressionChunk, "/fabg/policy/command", 10)
        self._node.create_timer(0.01, self._report)
        self._node.create_timer(0.04, self._command)
        self._stopping = threading.Event()
        self._spinner = threading.Thread(target=self._spin, daemon=True)
        self._spinner.start()

    def _obey(self, message: Any) -> None:
        self.arrivals.append(time.perf_counter())
        self._pose = np.array(message.data)

    def _report(self) -> None:
        from fabg.ros.joints import states_to_message

        at = self._node.get_clock().now().to_msg()
        self._states.publish(states_to_message(self._pose, np.zeros(25), self._robot, at))

    def _command(self) -> None:
        from fabg.policy.base import Chunk
        from fabg.ros.convert import chunk_to_message

        at = self._node.get_clock().now()
        chunk = Chunk(_expression(self._rng)[None], at.nanoseconds * 1e-9, 0.02, "benchmark")
        self._chunks.publish(chunk_to_message(chunk, at.to_msg()))

    def _spin(self) -> None:
        while not self._stopping.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        import rclpy

        self._stopping.set()
        self._spinner.join()
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown()


def measure(seconds: float) -> dict[str, Any]:
    """Run the node and return period errors, CPU time a tick and memory."""
    from fabg.ros.bringup import middleware_environment, node_command, node_environment, selected

    os.environ.update(middleware_environment() | {"ROS_DOMAIN_ID": str(100 + os.getpid() % 100)})
    around = Surroundings()
    with tempfile.TemporaryDirectory() as scratch:
        (spec,) = selected(["actuation"])
        command = node_command(spec, {}, Path(scratch))
        process = subprocess.Popen(command, env=node_environment(), stdin=subprocess.DEVNULL)
        try:
            _wait(lambda: len(around.arrivals) > 2 * RATE_HZ, "commands of the node")
            begin, cpu = len(around.arrivals), _cpu_s(process.pid)
            time.sleep(seconds)
            end, spent_s = len(around.arrivals), _cpu_s(process.pid) - cpu
            memory = resident_mib(process.pid)
        finally:
            process.terminate()
            process.wait(10.0)
            around.close()
    periods = np.diff(around.arrivals[begin:end])
    errors = np.abs(periods - 1 / RATE_HZ) * 1e3
    return {
        "ticks": end - begin,
        "rate_hz": round(float(1 / periods.mean()), 3),
        "period_error_ms": {f"p{q}": round(float(np.percentile(errors, q)), 3) for q in (50, 95, 99, 100)},
        "cpu_ms_per_tick": round(spent_s * 1e3 / (end - begin), 3),
        "resident_mib": round(memory, 1),
    }


def _wait(condition: Any, what: str, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {timeout_s} s in vain for {what}")
        time.sleep(0.01)


def _cpu_s(pid: int) -> float:
    """Return user and system time of a process and its threads, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run the benchmark."""
    arguments = parse(__doc__)
    result: dict[str, Any] = {"benchmark": "actuation", "machine": describe(), "seconds": arguments.seconds}
    result["core_us"] = core_us()
    result |= measure(arguments.seconds)
    p99, cpu = result["period_error_ms"]["p99"], result["cpu_ms_per_tick"]
    result["targets"] = {
        "period_error_p99_ms": {"measured": p99, "limit": 5.0, "met": p99 <= 5.0},
        "cpu_ms_per_tick": {"measured": cpu, "limit": 2.0, "met": cpu <= 2.0},
    }
    save(result, arguments.json)


if __name__ == "__main__":
    main()
