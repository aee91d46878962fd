"""What another policy would have done in a recorded run.

It is shown the same people, and each of its answers is there when the answer of the policy that drove the robot was:
sensing, inference and transport take as long as they did, and commands are on their way to the servos for as long as
was measured. From there on everything is as in the graph, at the recorded moments: the same actuator (blending, gaze
sharing, retargeting, limits) and the same simulated servos. What differs between run and replay is therefore what the
policies say.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fabg.errors import CommandRefused
from fabg.policy.base import Observation, PersonObservation, Policy
from fabg.recording import Recording, Sight
from fabg.robot.actuator import Actuator
from fabg.robot.model import RobotModel
from fabg.robot.servo_delay import ServoDelay

GAP_S = 2.0
"""After a gap this long a policy starts anew; as the policy node's `gap_s`."""

_TICK_S = 0.02
_OFTEN = 100  # joint states between two measurements of the servos' delay
_JOINTS, _ANSWER, _TICK, _SERVOS = range(4)

Array = NDArray[np.float64]


def replay(recording: Recording, policy: Policy, robot: RobotModel) -> Recording:
    """Return the run as it would have been with `policy`: joints and commands are new, the rest is the same.

    Parameters
    ----------
    recording
        Must hold joints, commands and answers.
    policy
        Sees faces only; its answers are offered in place of the recorded ones.
    """
    from fabg.robot.twin import Twin

    twin, actuator = Twin(robot), Actuator(robot)
    done = replace(recording, joints=[], joint_stamps=[], commands=[], command_stamps=[])
    if not recording.joints:
        return done
    twin.set_positions(recording.joints[0])
    moved_s, ticked_s, seen_s = recording.joint_stamps[0], None, None
    sent: dict[int, Array] = {}
    policy.reset()
    for now_s, kind, index in _events(recording, robot):
        if kind in (_JOINTS, _SERVOS):
            twin.step(max(now_s - moved_s, 0.0))
            moved_s = max(now_s, moved_s)
        if kind == _JOINTS:
            done.joints.append(twin.positions())
            done.joint_stamps.append(now_s)
            actuator.saw_joints(done.joints[-1], now_s)
        elif kind == _SERVOS and index in sent:
            twin.command(sent.pop(index))
        elif kind == _TICK:
            dt_s = _TICK_S if ticked_s is None else now_s - ticked_s
            ticked_s = now_s
            command = actuator.tick(now_s, max(dt_s, 1e-4)).command
            if command is not None:
                sent[index] = command
                done.commands.append(command)
                done.command_stamps.append(now_s)
        elif kind == _ANSWER:
            sight = recording.sight_at(recording.answers[index].stamp_s)
            if sight is None:
                continue
            if seen_s is not None and not 0.0 <= sight.stamp_s - seen_s <= GAP_S:
                policy.reset()
            seen_s = sight.stamp_s
            _offer(actuator, policy, Observation(sight.stamp_s, people(sight, recording)), now_s)
    return done


def people(sight: Sight, recording: Recording) -> tuple[PersonObservation, ...]:
    """Return the people of a sight in the robot's base frame; none while it is not known where the camera stands."""
    if recording.base_from_camera is None:
        return ()
    poses = [(face, recording.base_from_camera @ face.pose) for face in sight.faces]
    return tuple(PersonObservation(f.id, f.shapes, head[:3, 3], head[:3, :3]) for f, head in poses)


def servo_delay_s(recording: Recording, robot: RobotModel) -> float:
    """Return how long commands were on their way to the servos, median over the run, s; 0 when nothing moved."""
    measure, found = ServoDelay(robot), []
    commands = ((t, _TICK, k) for k, t in enumerate(recording.command_stamps))
    joints = ((t, _JOINTS, k) for k, t in enumerate(recording.joint_stamps))
    for time_s, kind, k in sorted([*commands, *joints]):
        if kind == _TICK:
            measure.add_command(time_s, recording.commands[k])
        else:
            measure.add_joints(time_s, recording.joints[k])
            if k % _OFTEN == 0 and (delay_s := measure.delay_s) is not None:
                found.append(delay_s)
    return float(np.median(found)) if found else 0.0


def _events(recording: Recording, robot: RobotModel) -> list[tuple[float, int, int]]:
    """Return (time, kind, index) of all that happens, in order."""
    on_way_s = servo_delay_s(recording, robot)
    return sorted(
        [(s, _JOINTS, k) for k, s in enumerate(recording.joint_stamps)]
        + [(a.received_s, _ANSWER, k) for k, a in enumerate(recording.answers)]
        + [(s, _TICK, k) for k, s in enumerate(recording.command_stamps)]
        + [(s + on_way_s, _SERVOS, k) for k, s in enumerate(recording.command_stamps)]
    )


def _offer(actuator: Actuator, policy: Policy, observation: Observation, now_s: float) -> None:
    chunk = policy.predict(observation)
    if chunk is None:
        return
    with suppress(CommandRefused):  # as in the graph: what was accepted before stays in force
        actuator.arbiter.offer("policy", chunk, observation.stamp_s, now_s)
