"""A run that never was: a person whose jaw, smile and head move as sinusoids, and a robot that repeats
them a known time later."""

from __future__ import annotations

import math

import cv2
import numpy as np

from fabg.expression import INDEX, N_SHAPES
from fabg.geometry import OPTICAL_FROM_BODY, pose, rotation_from_ypr
from fabg.perception.pose import Camera
from fabg.recording import Answer, JpegStore, Recording, SeenFace, Sight, StageTiming, Status

FPS = 25
RATE_HZ = 100
DELAY_S = 0.08
START_S = 1_700_000_000.0
ANSWER_S = 0.06
GAZE_OFF_RAD = math.radians(5.0)


def jaw(t):
    return 0.4 + 0.35 * np.sin(1.9 * t)


def smile(t):
    return 0.35 + 0.3 * np.sin(1.1 * t + 1.0)


def head_yaw(t):
    return 0.3 * np.sin(0.9 * t)


class PlainView:
    """Stands in for the twin: a grey picture whose brightness is the jaw's angle."""

    def __init__(self, robot, size):
        self.robot, self.size = robot, size
        self.q = robot.neutral

    def set_positions(self, q):
        self.q = q

    def render(self, camera):
        assert camera == "face"
        grey = 60 + 300 * float(self.q[self.robot.index["jaw"]])
        return np.full((self.size[1], self.size[0], 3), min(grey, 255), np.uint8)


def plain_view(robot, size):
    return PlainView(robot, size)


def broken_view(robot, size):
    from fabg.errors import EnvironmentProblem

    raise EnvironmentProblem("no GL here: install libegl1")


def synthetic(folder, robot, *, seconds, people=True):
    """Return a recording; see the tests for what it holds."""
    images = round(seconds * FPS)
    store = JpegStore(folder / ".images")
    base_from_camera = pose(OPTICAL_FROM_BODY.T, [0.1, 0.0, 0.12])
    made = Recording("synthetic", float(FPS), (160, 120), robot.names, store)
    made.camera = Camera.from_fov(160, 120, 60.0)
    made.base_from_camera = base_from_camera
    rng = np.random.default_rng(1)
    for k in range(images):
        stamp = START_S + k / FPS
        image = np.full((120, 160, 3), 40 + k % 150, np.uint8)
        cv2.circle(image, (80, 60), 30, (180, 200, 220), -1)
        store.append(cv2.imencode(".jpg", image)[1].tobytes())
        made.image_stamps.append(stamp)
        begun = stamp
        for stage, work_s in (("camera", 0.002), ("face", 0.02), ("policy", 0.001), ("actuation", 0.01)):
            if stage != "camera" and k % 10 == 9:
                continue
            done = begun + work_s * (0.5 + rng.random())
            made.timings.append(StageTiming(stage, stamp, begun, done))
            begun = done
        if k % 10 != 9:
            made.sights.append(
                Sight(stamp, _faces(k, images, base_from_camera, stamp, made) if people else ())
            )
            made.answers.append(Answer(stamp, "mirror", stamp + ANSWER_S))
    store.close()
    for k in range(round((seconds + 1.5) * RATE_HZ)):
        stamp = START_S - 0.5 + k / RATE_HZ
        made.joint_stamps.append(stamp)
        made.joints.append(_joints(robot, stamp - START_S - DELAY_S, base_from_camera))
        if k % 2 == 0:
            made.command_stamps.append(stamp)
            made.commands.append(made.joints[-1])
    for k in range(20):
        state = "following" if k > 2 else "neutral"
        limited = ("jaw",) if k % 2 else ()
        made.status.append(
            Status(START_S + k * seconds / 20, state, "policy", 11 * (k + 1), 3, 0, 7 * k // 19, limited)
        )
    made.restarts = {"face": 1, "camera": 0}
    return made


def _faces(k, images, base_from_camera, stamp, recording):
    if k >= images - FPS:
        return ()
    t = k / FPS
    shapes = np.zeros(N_SHAPES)
    shapes[INDEX["jawOpen"]] = jaw(t)
    shapes[[INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]]] = smile(t)
    shapes = shapes.astype(np.float64)
    # A mirror shows -yaw; the synthetic robot shall turn by +head_yaw.
    base = pose(rotation_from_ypr(math.pi, 0, 0) @ rotation_from_ypr(-head_yaw(t), 0, 0), [1.1, 0.0, 0.12])
    near = SeenFace("near", (50.0, 30.0, 60.0, 60.0), shapes, np.linalg.inv(base_from_camera) @ base)
    angles = np.linspace(0, 2 * math.pi, 70)
    points = np.stack([0.5 + 0.18 * np.cos(angles), 0.5 + 0.25 * np.sin(angles)], axis=1)
    recording.landmarks[stamp, "near"] = points.astype(np.float32)
    if t < 5.0:
        return (near,)
    away = pose(rotation_from_ypr(math.pi, 0, 0), [3.0, 0.8, 0.1])
    far = SeenFace(
        "far", (110.0, 40.0, 20.0, 20.0), np.zeros(N_SHAPES), np.linalg.inv(base_from_camera) @ away
    )
    return (far, near)


def _joints(robot, t, base_from_camera):
    q = robot.neutral.copy()
    for names, value in (
        (("jaw",), jaw(t)),
        (("corner_vertical_left", "corner_vertical_right"), smile(t)),
    ):
        for name in names:
            i = robot.index[name]
            q[i] = robot.neutral[i] + value * (robot.upper[i] - robot.neutral[i])
    q[robot.index["neck_yaw"]] = yaw = head_yaw(t)
    # Each eye looks past the face by a known angle, turned about the head's vertical axis.
    head = rotation_from_ypr(yaw, 0.0, 0.0)
    target = np.array([1.1, 0.0, 0.12])
    for side in ("left", "right"):
        x, y, z = head.T @ target - np.array(robot[f"eye_{side}_yaw"].origin)
        q[robot.index[f"eye_{side}_pitch"]] = math.atan2(-z, math.hypot(x, y))
        q[robot.index[f"eye_{side}_yaw"]] = math.atan2(y, x) + GAZE_OFF_RAD
    return q
