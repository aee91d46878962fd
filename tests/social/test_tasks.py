"""Each task can be answered, is not answered by doing nothing, and is the same for the same seed."""

import math
from collections import deque
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg import expression
from fabg.errors import ConfigError
from fabg.policy.attention import EYES_M, answer_shapes, gaze_miss
from fabg.robot.gaze import look_at
from fabg.robot.model import load_robot
from fabg.robot.retarget import Retargeter
from fabg.social.avatar.poses import shapes_of
from fabg.social.habits import LOOK_AWAY_RAD, MOST_JAW
from fabg.social.partner import EMOTIONS, build_of
from fabg.social.robot_body import EyeGeometry
from fabg.social.stage import TICK_S, RobotState
from fabg.social.tasks import EVENTS, TASKS, TIMEOUT_S, TaskRun

ROBOT = load_robot()
RETARGETER = Retargeter(ROBOT)
EYES = EyeGeometry(ROBOT)
REST = RobotState(np.zeros(25), np.zeros(25), np.zeros(25), 0.0, 0.0, 0.0)
LONGEST = round(400 / TICK_S)


class Perfect:
    """Meets what an event asks exactly `delay_s` after its onset.

    Before that it looks where it was to look so long ago; or, when it does not follow, where it looked last.
    """

    def __init__(self, delay_s, follows=True):
        self.delay_s, self._follows = delay_s, follows
        self._seen = deque(maxlen=round(delay_s / TICK_S))

    def __call__(self, t, stimulus):
        """Return the robot at `t`, having been shown `stimulus` one tick before."""
        answers = stimulus.counted and t - stimulus.onset_s >= self.delay_s - 1e-9
        if self._follows or answers or not self._seen:
            self._seen.append(stimulus)
        target = (stimulus if answers else self._seen[0 if self._follows else -1]).target_m
        vector = look_at(target, ROBOT, head_share=0.5).into(expression.neutral())
        if answers and stimulus.kind in EMOTIONS:
            # All of it at once: however strong the partner's is, this is enough.
            vector[: expression.N_SHAPES] = answer_shapes(shapes_of(**EMOTIONS[stimulus.kind]))
        joints = RETARGETER.to_joints(vector)
        return RobotState(joints, joints, joints, *EYES.gaze_of(joints))


def play(run, respond, beside=None, keep=None):
    scene, stimulus = run.start()
    for k in range(1, LONGEST):
        if keep is not None:
            keep(scene, stimulus)
        if run.done:
            return run
        t = k * TICK_S
        scene, stimulus = run.step(respond(t, stimulus), beside and beside(t, stimulus))
    pytest.fail(f"not over after {LONGEST * TICK_S} s")


@lru_cache(maxsize=16)
def idle(task, seed, pace="prompt", events=None):
    """Play with a robot that does nothing; return the run and all that was shown."""
    shown = []
    run = play(
        TaskRun(task, seed, pace=pace, events=events), lambda t, s: REST, keep=lambda *s: shown.append(s)
    )
    return run, shown


@pytest.mark.parametrize("pace", ["prompt", "natural"])
@pytest.mark.parametrize("task", TASKS)
def test_a_perfect_responder_answers_everything_after_its_own_delay(task, pace):
    delay = 0.4
    for seed in (1, 2) if pace == "prompt" else (3,):
        run = play(TaskRun(task, seed, pace=pace), Perfect(delay, follows=task != "foveate"))
        assert len(run.events) == run.total_events == EVENTS
        for event in run.events:
            assert event.response_s is not None, event
            late = event.response_s - event.onset_s
            # Who follows a finger that slows down is near enough to it before long.
            early = 0.15 if event.kind == "far" and task == "mixed" else 0.0
            assert delay - early - TICK_S - 1e-9 <= late <= delay + TICK_S + 1e-9, event


@pytest.mark.parametrize("task", TASKS)
def test_a_robot_that_does_nothing_answers_nothing(task):
    for seed in (3, 4):
        run, _ = idle(task, seed)
        assert len(run.events) == EVENTS
        assert [e.kind for e in run.events if e.response_s is not None] == []
        for event in run.events:
            assert event.deadline_s == pytest.approx(event.onset_s + TIMEOUT_S)


def test_the_numbers_of_events_are_the_papers():
    def kinds(task):
        return [e.kind for e in idle(task, 3)[0].events]

    assert sorted(kinds("affective")) == ["smile"] * 10 + ["surprise"] * 10
    assert kinds("tracking") == ["hand", "face"] * 10
    assert kinds("foveate") == ["near", "far"] * 10
    gestures = kinds("gesture")
    assert {k: gestures.count(k) for k in gestures} == dict.fromkeys(
        ("up", "down", "left", "right", "fist"), 4
    )
    assert all(a != b for a, b in pairwise(gestures))
    mixed = set(kinds("mixed"))
    assert mixed >= {"smile", "surprise", "hand", "face", "near", "up", "down", "left", "right", "fist"}


def numbers(shown):
    """Return all numbers of scenes and stimuli as bytes."""
    out = []
    for scene, stimulus in shown:
        for p in scene.people:
            out += [p.position_m, p.head, p.shapes, p.look_at_m]
            for h in p.hands:
                out += [h.pose, h.tip_m, (h.side, h.gesture, h.extended)]
        out += [stimulus.target_m, stimulus.shapes, (stimulus.event, stimulus.onset_s)]
    return b"".join(np.asarray(a, dtype=float).tobytes() for a in out)


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(task):
    def played(seed):
        shown = []
        play(TaskRun(task, seed, events=3), Perfect(0.3), keep=lambda *s: shown.append(s))
        return numbers(shown)

    assert played(5) == played(5)
    assert played(5) != played(6)


def test_what_is_asked_does_not_depend_on_how_fast_the_robot_answers():
    for task in TASKS:
        runs = [play(TaskRun(task, 8, events=6), Perfect(d)) for d in (0.1, 0.8)]
        assert [e.kind for e in runs[0].events] == [e.kind for e in runs[1].events]


@pytest.mark.parametrize("task", TASKS)
def test_people_stay_in_view_at_a_talking_distance_and_look_where_eyes_can(task):
    for seed in (3, 4):
        _, shown = idle(task, seed)
        for scene, stimulus in shown[::5]:
            assert (stimulus.kind == "rest") != stimulus.counted
            for p in scene.people:
                assert 0.6 <= np.linalg.norm(p.position_m) <= 1.4
                assert build_of(p.seed)[0] >= 16
                assert inside_picture(p.position_m, 0.0)
                assert p.shapes.min() >= 0
                assert p.shapes.max() <= 1
                x, y, z = p.rotation.T @ (p.look_at_m - p.position_m)
                assert abs(math.atan2(y, x)) < math.radians(51)
                assert abs(math.atan2(-z, math.hypot(x, y))) < math.radians(41)
                for h in p.hands:
                    assert np.isfinite(h.pose).all()
                    np.testing.assert_allclose(h.pose[:3, :3] @ h.pose[:3, :3].T, np.eye(3), atol=1e-9)
                    if h.extended and stimulus.counted and scene.time_s > stimulus.onset_s + 1.0:
                        assert inside_picture(h.pose[:3, 3], 0.0), stimulus.kind
                        assert inside_picture(h.tip_m, -0.02), stimulus.kind


def inside_picture(point, margin_m):
    """Say whether a camera at (0.10, 0, 0.12) that looks along x with 60 degrees, 640 x 480, sees a point."""
    x, y, z = np.asarray(point) - [0.10, 0.0, 0.12]
    u, v = 320 / math.tan(math.radians(30)) * np.array([-y, -z]) / x
    slack = margin_m * 320 / math.tan(math.radians(30)) / x
    return abs(u) <= 320 - slack and abs(v) <= 240 - slack


def test_the_finger_comes_as_near_as_it_should_and_goes_back():
    for seed in (3, 4):
        _, shown = idle("foveate", seed)
        for scene, stimulus in shown:
            if stimulus.counted and scene.time_s > stimulus.onset_s + 1.0:
                distance = math.dist(stimulus.target_m, EYES_M)
                if stimulus.kind == "near":
                    assert 0.18 <= distance <= 0.30
                else:
                    assert distance == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("task", ["affective", "tracking", "gesture", "mixed"])
def test_who_acts_looks_at_the_robot_most_of_the_time_and_the_others_do_not(task):
    _, shown = idle(task, 4)
    attending, together, longest = 0, 0, 0
    for scene, stimulus in shown:
        looks = [gaze_miss(p.position_m, p.look_at_m - p.position_m) < math.radians(12) for p in scene.people]
        if stimulus.counted:
            attending += any(looks)
            together = together + 1 if sum(looks) > 1 else 0
            longest = max(longest, together)
    counted = sum(s.counted for _, s in shown)
    assert attending / counted > 0.8
    # A gaze that goes from one side to the other passes the robot, but does not rest there.
    assert longest * TICK_S <= 0.1
    assert math.radians(12) < LOOK_AWAY_RAD


@pytest.mark.parametrize("task", TASKS)
def test_what_distracts_is_there_and_is_weaker_than_what_is_asked(task):
    _, shown = idle(task, 3)
    scenes = [scene for scene, _ in shown]
    resting = [h for s in scenes for p in s.people for h in p.hands if not h.extended]
    assert any(h.shape == "relaxed" for h in resting)
    blink, jaw = expression.INDEX["eyeBlinkLeft"], expression.INDEX["jawOpen"]
    people = [p for s in scenes for p in s.people]
    assert max(p.shapes[blink] for p in people) > 0.9
    calm = [scene for scene, stimulus in shown if stimulus.kind not in EMOTIONS and not stimulus.shapes.any()]
    assert 0.05 < max(p.shapes[jaw] for s in calm for p in s.people) <= MOST_JAW + 1e-9
    assert EMOTIONS["surprise"]["jawOpen"] * 0.4 > MOST_JAW


def test_hold_and_gaps_are_there_when_the_pace_is_natural():
    for task in TASKS:
        prompt, natural = (
            play(TaskRun(task, 2, pace=p, events=8), Perfect(0.3)) for p in ("prompt", "natural")
        )
        between = []
        for run in (prompt, natural):
            events = run.events
            between.append([b.onset_s - a.response_s for a, b in pairwise(events)])
        assert np.median(between[1]) > np.median(between[0]) + 0.5
        assert len(np.unique(np.round(between[1], 3))) >= 5, "of random length"


def test_the_robot_beside_is_judged_alike_and_may_be_later_than_the_robot():
    def lateness(mine, beside):
        run = play(TaskRun("gesture", 3, events=8), Perfect(mine), Perfect(beside, follows=False))
        # The last event is over before a later one can answer.
        return [(e.response_s - e.onset_s, e.beside_s - e.onset_s) for e in run.events[:-1]]

    np.testing.assert_allclose(lateness(0.2, 0.28), [(0.2, 0.28)] * 7, atol=TICK_S + 1e-9)
    np.testing.assert_allclose(lateness(0.6, 0.3), [(0.6, 0.3)] * 7, atol=TICK_S + 1e-9)


def test_events_that_are_cut_short_are_numbered_but_do_not_count():
    cut = 0
    for seed in range(6):
        run, shown = idle("mixed", seed, events=5)
        begun = {s.event for _, s in shown if s.counted}
        assert {e.index for e in run.events} <= begun
        assert len(run.events) == 5
        cut += len(begun) - 5
        for number in begun - {e.index for e in run.events}:
            lasted = sum(s.event == number and s.counted for _, s in shown) * TICK_S
            assert lasted <= 0.32
    assert cut > 0


def test_the_task_goes_on_being_shown_after_it_is_done():
    run, shown = idle("gesture", 3)
    scene, stimulus = run.step(REST)
    assert scene.time_s > shown[-1][0].time_s
    assert not stimulus.counted
    assert len(run.events) == EVENTS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "juggling"}, "affective, tracking"),
        ({"pace": "hasty"}, "prompt or natural"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"seed": True}, "seed is True"),
        ({"events": 0}, "events is 0"),
        ({"events": 2000}, "events is 2000"),
    ],
)
def test_what_cannot_be_played_is_refused_by_name(arguments, message):
    task, seed = arguments.pop("task", "mixed"), arguments.pop("seed", 1)
    with pytest.raises(ConfigError, match=message):
        TaskRun(task, seed, **arguments)


def test_a_run_must_be_started():
    with pytest.raises(RuntimeError, match="start"):
        TaskRun("affective", 1).step(REST)


@given(st.sampled_from(TASKS), st.integers(0, 2**31))
def test_every_seed_can_be_played(task, seed):
    run = TaskRun(task, seed, events=1)
    run.start()
    for _ in range(60):
        scene, stimulus = run.step(REST)
    assert np.isfinite(stimulus.target_m).all()
    assert 1 <= len(scene.people) <= 3
