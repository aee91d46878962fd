"""Shared fixtures: a ROS domain of the test run's own, node processes, and a probe to talk to them."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A slow machine is no failure; and CI repeats itself, so that a failure there is due to the change.
settings.register_profile("fabg", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("fabg")

WAIT_S = 30.0
"""Longest wait for an event; generous, because the machine may be busy."""


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> Any:
    """Return the first true value of `condition`; fail with `what` after the time-out."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s} s in vain for: {what}")
        pause.wait(0.01)
    return value


class Probe:
    """A node in the test's process: collects what topics carry, publishes, calls services."""

    def __init__(self) -> None:
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node

        self.node = Node(f"probe_{os.getpid()}_{id(self) % 9999}")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while not self._stopping.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def collect(self, kind: type, topic: str, qos: Any = 10) -> list[Any]:
        """Return a list that fills with the messages of `topic`."""
        found: list[Any] = []
        self.node.create_subscription(kind, topic, found.append, qos)
        return found

    def publisher(self, kind: type, topic: str, qos: Any = 10, *, matched: int = 1) -> Any:
        """Return a publisher that `matched` subscribers have found."""
        made = self.node.create_publisher(kind, topic, qos)
        wait_until(lambda: made.get_subscription_count() >= matched, f"a subscriber of {topic}")
        return made

    def call(self, kind: type, name: str, request: Any) -> Any:
        """Return the answer of a service."""
        client = self.node.create_client(kind, name)
        wait_until(client.service_is_ready, f"service {name}")
        future = client.call_async(request)
        wait_until(future.done, f"an answer of {name}")
        return future.result()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=5.0)
        self._executor.shutdown()
        self.node.destroy_node()


@pytest.fixture(scope="session")
def ros() -> Iterator[None]:
    """Put the test run on a domain of its own, on this machine only."""
    from fabg.ros.bringup import middleware_environment

    os.environ["ROS_DOMAIN_ID"] = str(10 + os.getpid() % 90)
    os.environ.update(middleware_environment())
    import rclpy

    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def probe(ros: None) -> Iterator[Probe]:
    """A node in the test's process."""
    made = Probe()
    yield made
    made.close()


@pytest.fixture
def node_process(ros: None, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start nodes in processes of their own: ``node_process("camera", source="clip")``."""
    from fabg.ros.bringup import node_command, node_environment, selected

    running: list[subprocess.Popen[str]] = []

    def start(name: str, **parameters: Any) -> subprocess.Popen[str]:
        (spec,) = selected([name])
        process = subprocess.Popen(
            node_command(spec, parameters, tmp_path), env=node_environment(), text=True,
            stdin=subprocess.DEVNULL, stdout=(tmp_path / f"{name}.log").open("a"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        running.append(process)
        return process

    yield start
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
