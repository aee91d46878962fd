"""A person opens the mouth, the robot imitates: the paper's JawOpen ablation.

    python benchmarks/studies/jaw.py --json jaw.json --plot jaw.png

Somebody is surprised, again and again, to a plan that does not wait for the robot: all ways of execution meet the same
curve. The delay is 140 ms in all. Three figures, as in the paper: the distance of the robot's curve to the person's by
dynamic time warping; how long after the person's mouth begins to open (10 %) the robot's does; how long after the
person's is open (90 %) the robot's is. `oracle` is the demonstrator without delay, `replay` with it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from common import Extent, Line, Panel, Row, cells, chosen, parser, played, plot, save, summary
from numpy.typing import NDArray

from fabg import expression
from fabg.robot.model import load_robot
from fabg.robot.retarget import Retargeter
from fabg.social.bench.grid import ORACLE, Cell
from fabg.social.bench.latency import REPLAY, latency_of
from fabg.social.episode import EpisodeSpec, run_episode
from fabg.social.metrics import dtw
from fabg.social.policies import EXPERT
from fabg.social.score import WARP_S
from fabg.social.stage import TICK_S
from fabg.social.tasks import TaskRun
from fabg.social.world import World, WorldConfig

METHODS = ("chunk", "ensemble", "offset:3", "adaptive", "adaptive_ensemble", REPLAY)
DELAY = "140"
METRICS = ("dtw", "response_ms", "opening_ms", "opened")
BEGUN, OPEN = 0.1, 0.9
"""Shares of the person's opening at which a mouth has begun to open, and is open."""
_JAW = expression.INDEX["jawOpen"]

Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Opening:
    """When the mouth begins to open and to close, s."""

    begin_s: float
    end_s: float


class _Mouth(World):
    """The affective task, with a person who keeps to a plan whatever the robot does."""

    openings: list[Opening]

    def reset(self, seed: int) -> None:
        super().reset(seed)
        self.openings = []
        plan = _plan(self.run, np.random.default_rng([seed, 7]), self.openings)
        next(plan)
        # In place of the events, each of which would wait for the robot's answer.
        self.run._playing = plan


def _plan(run: TaskRun, rng: np.random.Generator, openings: list[Opening]) -> Generator[float, float, None]:
    """Open and close the mouth, at the speeds of the affective task; yields when it goes on."""
    partner = run._script.actor.partner
    t = yield 0.0
    for _ in range(run.total_events):
        run._number += 1  # the expert reacts to each one anew
        onset_s, hold_s = float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.8, 1.4))
        partner.express(t, "surprise", float(rng.uniform(0.5, 1.0)), onset_s)
        openings.append(Opening(t, t + onset_s + hold_s))
        t = yield t + onset_s + hold_s
        partner.express(t, "surprise", 0.0, 0.5)
        t = yield t + 0.5 + float(rng.uniform(0.8, 1.4))


@dataclass(frozen=True, kw_only=True)
class _Spec(EpisodeSpec):
    def world(self) -> World:
        return _Mouth(
            WorldConfig(
                task=self.task, latency=self.latency, events=self.events, max_s=self.max_s, expert=True
            )
        )


def curves(cell: Cell, policy: str, events: int) -> tuple[Curve, Curve, list[Opening]]:
    """Return how far the person's and the robot's mouth are open at each tick, 0..1, and the openings."""
    who, executor = (EXPERT, "newest") if cell.method in (ORACLE, REPLAY) else (policy, cell.method)
    spec = _Spec(
        task="affective",
        seed=cell.seed,
        policy=who,
        executor=executor,
        latency=latency_of(cell.delay),
        events=events,
    )
    robot = load_robot()
    wide = expression.neutral()
    wide[_JAW] = 1.0
    jaw = robot.index["jaw"]
    rest, full = robot.neutral[jaw], Retargeter(robot).to_joints(wide)[jaw]
    person: list[float] = []
    openings: list[Opening] = []

    def each(world: Any) -> None:
        openings[:] = world.openings
        person.append(float(world.stimulus.shapes[_JAW]))

    joints = run_episode(spec, each).joints[:, jaw]
    return np.array(person), (joints - rest) / (full - rest), openings


def jaw_scores(person: Curve, robot: Curve, openings: Sequence[Opening]) -> dict[str, float | None]:
    """Return the scores of two curves, sampled each `TICK_S` from the first tick on.

    ``dtw`` in hundredths of a fully open mouth, mean over the path; ``response_ms`` and ``opening_ms`` the medians over
    the openings in which the robot came so far; ``opened`` their share.
    """
    distance = dtw(person, robot, band=round(WARP_S / TICK_S))
    late: dict[float, list[float]] = {BEGUN: [], OPEN: []}
    for k, opening in enumerate(openings):
        until_s = openings[k + 1].begin_s if k + 1 < len(openings) else len(person) * TICK_S
        part = slice(round(opening.begin_s / TICK_S), round(until_s / TICK_S))
        most = float(person[part].max(initial=0.0))
        for share, found in late.items():
            his, its = (crossing(curve[part], share * most) for curve in (person, robot))
            if his is not None and its is not None:
                found.append((its - his) * TICK_S * 1e3)
    return {
        "dtw": None if distance is None else 100.0 * distance,
        "response_ms": median(late[BEGUN]) if late[BEGUN] else None,
        "opening_ms": median(late[OPEN]) if late[OPEN] else None,
        "opened": len(late[OPEN]) / len(openings) if openings else None,
    }


def crossing(curve: Curve, level: float) -> float | None:
    """Return where a curve first reaches a level, in samples, straight between them; None when it does not."""
    above = np.flatnonzero(curve >= level)
    if not above.size:
        return None
    k = int(above[0])
    return float(k) if k == 0 else k - 1 + float((level - curve[k - 1]) / (curve[k] - curve[k - 1]))


def jaw_cell(cell: Cell, *, policy: str, events: int, obs: str) -> dict[str, float | None]:
    """Play a cell and return its scores."""
    del obs
    return jaw_scores(*curves(cell, policy, events))


def main() -> None:
    """Play, tell, and draw one opening."""
    arguments = parser(__doc__, policy=True).parse_args()
    extent = Extent.of(arguments, seeds=5)
    name, policy = chosen(arguments)
    which = cells(extent, tasks=("affective",), methods=(ORACLE,), delays=("0",))
    which += cells(extent, tasks=("affective",), methods=METHODS, delays=(DELAY,))
    rows: list[Row] = played(f"jaw-{name}", policy, extent, which, run=jaw_cell)
    save("jaw", arguments, extent, {"delay_ms": float(DELAY), "methods": summary(rows, ("method",), METRICS)})
    if arguments.plot is not None:
        plot([_opening_panel(str(policy), extent)], arguments.plot)


def _opening_panel(policy: str, extent: Extent) -> Panel:
    lines = []
    for method in METHODS:
        person, robot, openings = curves(
            Cell("affective", method, DELAY, extent.seeds[0]), policy, extent.events
        )
        opening = openings[-1]
        first = round(opening.begin_s / TICK_S) - 10
        ticks = range(
            first, min(first + round((opening.end_s - opening.begin_s + 1.6) / TICK_S), len(person))
        )
        x = [(k - first - 10) * TICK_S for k in ticks]
        if not lines:
            lines.append(Line("person", x, [_point(person[k]) for k in ticks], marked=False))
        lines.append(Line(method, x, [_point(robot[k]) for k in ticks], marked=False))
    return Panel(f"One opening, {DELAY} ms of delay", "s", "mouth open, %", lines, percent=True)


def _point(value: float) -> dict[str, float | None]:
    return {"mean": float(value), "low": None, "high": None}


if __name__ == "__main__":
    main()
