"""Servos that have their commands late, by a time that the test knows."""

import threading
from collections import deque

import numpy as np
from sensor_msgs.msg import JointState

from fabg.robot.mjcf import SERVO_BANDWIDTH_RAD_S
from fabg.robot.model import load_robot
from fabg.ros.joints import states_to_message
from fabg.ros.time import stamp

ROBOT = load_robot()
_W = np.array([SERVO_BANDWIDTH_RAD_S[joint.group] for joint in ROBOT.joints])
_STEP_S = 5e-4


class LateServos:
    """Integrates q'' = w^2 (u - q) - 2 w q', u a command `delay_s` ago, and publishes joint states at 100 Hz.

    `obey` is to be called with each command at the time it is sent.
    """

    def __init__(self, probe, delay_s):
        self.delay_s = delay_s
        self._clock = probe.node.get_clock()
        self._lock = threading.Lock()
        self._coming = deque()
        self._target = self.position = ROBOT.neutral.copy()
        self._speed = np.zeros_like(self._target)
        self._states = probe.publisher(JointState, "/joint_states", 50)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def now_s(self):
        return self._clock.now().nanoseconds * 1e-9

    def obey(self, angles, sent_s):
        with self._lock:
            self._coming.append((sent_s + self.delay_s, np.array(angles)))

    def close(self):
        self._stopping.set()
        self._thread.join()

    def _live(self):
        time_s = self.now_s()
        while not self._stopping.wait(0.01):
            now_s = self.now_s()
            with self._lock:
                while time_s < now_s:
                    time_s += _STEP_S
                    while self._coming and self._coming[0][0] <= time_s:
                        self._target = self._coming.popleft()[1]
                    self._speed += _STEP_S * (_W**2 * (self._target - self.position) - 2 * _W * self._speed)
                    self.position = self.position + _STEP_S * self._speed
            self._states.publish(states_to_message(self.position, self._speed, ROBOT, stamp(now_s)))
