"""Who may move the robot now: e-stop before teleop before policy before idle.

    WAITING ── joint states come ──► HOLDING ── hold_s over ──► RETURNING ── return_s over ──► NEUTRAL
                                      │   ▲                         │                            │
                              command │   │ source lost             │ command                    │ command
                                      ▼   │                         ▼                            ▼
                                    FOLLOWING  ◄────────────────────┴────────────────────────────┘

    any state ── joint states lost ──► WAITING
    any state ── engage ──► STOPPED ── reset ──► HOLDING (old commands are forgotten)

Pure logic: all times are handed in, in s on one clock.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike

from fabg import expression
from fabg.errors import CommandRefused, ConfigError
from fabg.robot.commands import Command, Still, ease

SOURCES = ("teleop", "policy", "idle")
"""Sources of commands, the highest priority first; the e-stop stands above them."""


class State(IntEnum):
    """What the robot obeys; the values of fabg_msgs/ActuationStatus."""

    NEUTRAL = 0
    FOLLOWING = 1
    HOLDING = 2
    RETURNING = 3
    STOPPED = 4
    WAITING = 5


@dataclass(frozen=True, kw_only=True)
class ArbiterConfig:
    """Times of the life cycle.

    Attributes
    ----------
    max_age_s
        A command whose observation is older is refused.
    max_ahead_s
        A command stamped further in the future is refused.
    max_steps, max_duration_s
        A longer chunk is refused.
    timeout_s
        A source that sent no command for this long is lost.
    hold_s, return_s
        After a loss the pose is held, then eased to neutral.
    blend_s
        A new source takes over gradually.
    joint_timeout_s
        Joint states older than this stop all commands.
    failover
        True: after `hold_s` a lower source takes over from a lost one. False: only from neutral on.
    """

    max_age_s: float = 0.5
    max_ahead_s: float = 0.1
    max_steps: int = 250
    max_duration_s: float = 5.0
    timeout_s: float = 0.5
    hold_s: float = 1.0
    return_s: float = 1.5
    blend_s: float = 0.3
    joint_timeout_s: float = 0.5
    failover: bool = True

    def __post_init__(self) -> None:
        positive = ("max_age_s", "max_ahead_s", "max_steps", "max_duration_s", "timeout_s", "joint_timeout_s")
        for name in positive:
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f"{name} is {getattr(self, name)}: expected a positive number")
        for name in ("hold_s", "return_s", "blend_s"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConfigError(f"{name} is {getattr(self, name)}: expected 0 or more")


@dataclass(frozen=True)
class Selection:
    """What to do now.

    Attributes
    ----------
    state
        State of the life cycle.
    vector
        Expression to take, shape (61,); None when stopped or waiting.
    source
        Who is obeyed: estop, teleop, policy, idle, or empty.
    reason
        Why, for people.
    stamp_s
        Stamp of the observation behind the command obeyed; None without one.
    serial
        Number of the command obeyed, 0 without one; a new number tells of a new command.
    """

    state: State
    vector: expression.Vector | None
    source: str = ""
    reason: str = ""
    stamp_s: float | None = None
    serial: int = 0


@dataclass(frozen=True)
class _Offer:
    command: Command
    stamp_s: float
    received_s: float
    serial: int


class Arbiter:
    """Chooses between sources and watches over them.

    Attributes
    ----------
    counts
        accepted, refused (all refusals) and stale (those of them for age).
    """

    def __init__(self, config: ArbiterConfig | None = None) -> None:
        self.config = config or ArbiterConfig()
        self.counts: Counter[str] = Counter()
        self._offers: dict[str, _Offer] = {}
        self._serial = 0
        self._stop_reason: str | None = None
        self._not_before_s = -np.inf
        self._joints_s: float | None = None
        self._last_now_s = -np.inf
        self._vector = expression.neutral()
        self._begin_hold("", 0.0, "just started")

    # E-stop --------------------------------------------------------------------------------------

    @property
    def stopped(self) -> bool:
        """True while the e-stop is latched."""
        return self._stop_reason is not None

    def engage(self, reason: str) -> None:
        """Latch the e-stop; every command is forgotten. Engaging again keeps the first reason."""
        if self._stop_reason is None:
            self._stop_reason = reason or "no reason given"
        self._offers.clear()

    def reset(self, now_s: float) -> None:
        """Release the e-stop. Only commands offered from now on, with newer stamps, count."""
        if self._stop_reason is None:
            return
        self._stop_reason = None
        self._offers.clear()
        self._not_before_s = now_s
        self._begin_hold("", now_s, "the e-stop was reset")

    # Inputs --------------------------------------------------------------------------------------

    def saw_joints(self, now_s: float) -> None:
        """Note that joint states came."""
        self._watch_clock(now_s)
        self._joints_s = now_s

    def begin(self, vector: ArrayLike, now_s: float) -> None:
        """Start from the expression (61,) of the measured pose: it is held, and blended from."""
        self._vector = expression.checked(vector)
        self._begin_hold(self._lost, now_s, self._why)

    def offer(self, source: str, command: Command | ArrayLike, stamp_s: float, now_s: float) -> None:
        """Take in a command.

        Parameters
        ----------
        source
            One of `SOURCES`.
        command
            A chunk, or a single expression (61,) that is meant for `stamp_s`.
        stamp_s
            Capture time of the observation behind it, s.
        now_s
            Present time on the same clock, s.

        Raises
        ------
        CommandRefused
            When the e-stop is latched, or the command is too old, from the future, not newer than a
            reset, older than the last one, too long, not finite or of the wrong length. What was
            accepted before stays in force.
        """
        self._watch_clock(now_s)
        try:
            accepted = self._examine(source, command, stamp_s, now_s)
        except CommandRefused:
            self.counts["refused"] += 1
            raise
        self._serial += 1
        self._offers[source] = _Offer(accepted, stamp_s, now_s, self._serial)
        self.counts["accepted"] += 1

    def refuse(self) -> None:
        """Count a command that was refused before it could be offered (it could not be read)."""
        self.counts["refused"] += 1

    # Output --------------------------------------------------------------------------------------

    def blocked(self, now_s: float) -> Selection | None:
        """Return why the robot may not be moved at `now_s`, or None when it may."""
        self._watch_clock(now_s)
        if self._stop_reason is not None:
            return Selection(State.STOPPED, None, "estop", self._stop_reason)
        if (missing := self.joints_missing(now_s)) is not None:
            return Selection(State.WAITING, None, "", missing)
        return None

    def joints_missing(self, now_s: float) -> str | None:
        """Return what is wrong with the joint states, or None when they are fresh."""
        if self._joints_s is None:
            return "no joint states yet"
        age = now_s - self._joints_s
        return f"joint states are {age:.2f} s old" if age > self.config.joint_timeout_s else None

    def select(self, now_s: float) -> Selection:
        """Return what to do at `now_s`."""
        if (blocked := self.blocked(now_s)) is not None:
            self._lose_following(now_s)
            # Nothing moves meanwhile: the hold begins anew when the way is free again.
            self._begin_hold(self._lost, now_s, self._why)
            return blocked
        self._lose_following(now_s, only_if_silent=True)
        best = next((s for s in SOURCES if self._alive(s, now_s)), None)
        if best is not None and self._may_follow(best, now_s):
            return self._follow(best, now_s)
        return self._come_to_rest(now_s)

    # Machinery -----------------------------------------------------------------------------------

    def _examine(self, source: str, command: Command | ArrayLike, stamp_s: float, now_s: float) -> Command:
        c = self.config
        if source not in SOURCES:
            raise CommandRefused(f"unknown source {source!r}: expected one of {', '.join(SOURCES)}")
        if self._stop_reason is not None:
            raise CommandRefused(f"{source} refused: reset the e-stop first ({self._stop_reason})")
        if not np.isfinite(stamp_s):
            raise CommandRefused(f"{source} command has stamp {stamp_s}: expected a number")
        if not isinstance(command, Command):
            command = Still(expression.checked(command, what=f"{source} command")[None], stamp_s)
        if not np.isfinite(command.values).all():
            raise CommandRefused(f"{source} command holds NaN or infinity: expected numbers")
        steps, duration = len(command.values), command.end_s - command.t0_s
        if steps > c.max_steps or duration > c.max_duration_s:
            raise CommandRefused(
                f"{source} command has {steps} steps over {duration:.2f} s: expected at most "
                f"{c.max_steps} steps over {c.max_duration_s} s"
            )
        newest = max(stamp_s, command.t0_s)
        if newest - now_s > c.max_ahead_s:
            raise CommandRefused(
                f"{source} command lies {newest - now_s:.3f} s in the future: expected at most "
                f"{c.max_ahead_s} s; check the clocks"
            )
        age = now_s - min(stamp_s, command.end_s)
        previous = self._offers.get(source)
        if age > c.max_age_s:
            self.counts["stale"] += 1
            raise CommandRefused(f"{source} command is {age:.3f} s old: expected at most {c.max_age_s} s")
        if stamp_s <= self._not_before_s:
            self.counts["stale"] += 1
            raise CommandRefused(f"{source} command is from before the reset of the e-stop: send a new one")
        if previous is not None and stamp_s < previous.stamp_s:
            self.counts["stale"] += 1
            raise CommandRefused(
                f"{source} command is {previous.stamp_s - stamp_s:.3f} s older than the last one"
            )
        return command

    def _watch_clock(self, now_s: float) -> None:
        """Forget everything when the clock was set back: ages would be wrong."""
        if now_s < self._last_now_s - 0.001:
            self._offers.clear()
            self._lose_following(now_s)
            self._begin_hold("", now_s, "the clock was set back")
            self._not_before_s = min(self._not_before_s, now_s)
            self._joints_s = None
        self._last_now_s = now_s

    def _alive(self, source: str, now_s: float) -> bool:
        offer = self._offers.get(source)
        return offer is not None and now_s - offer.received_s <= self.config.timeout_s

    def _lose_following(self, now_s: float, *, only_if_silent: bool = False) -> None:
        source = self._following
        if source is None or (only_if_silent and self._alive(source, now_s)):
            return
        self._begin_hold(source, now_s, f"{source} was lost")

    def _begin_hold(self, lost: str, now_s: float, why: str) -> None:
        self._following: str | None = None
        self._lost, self._lost_s, self._why = lost, now_s, why
        self._held = self._vector

    def _may_follow(self, source: str, now_s: float) -> bool:
        lost = self._following or self._lost
        if not lost or SOURCES.index(source) <= SOURCES.index(lost):
            return True
        waited = now_s - self._lost_s
        if self.config.failover:
            return waited >= self.config.hold_s
        return waited >= self.config.hold_s + self.config.return_s

    def _follow(self, source: str, now_s: float) -> Selection:
        if source != self._following:
            self._following = source
            self._blend_from, self._blend_since_s = self._vector, now_s
        offer = self._offers[source]
        # Idle is the neutral pose come alive: the way there is as gentle as the way to neutral.
        over_s = self.config.return_s if source == "idle" else self.config.blend_s
        weight = float(ease(now_s - self._blend_since_s, over_s))
        self._vector = (1.0 - weight) * self._blend_from + weight * offer.command.at(now_s)
        reason = f"{source} commands" if weight >= 1.0 else f"{source} takes over"
        return Selection(State.FOLLOWING, self._vector, source, reason, offer.stamp_s, offer.serial)

    def _come_to_rest(self, now_s: float) -> Selection:
        waited, c = now_s - self._lost_s, self.config
        if waited < c.hold_s:
            self._vector = self._held
            return Selection(State.HOLDING, self._vector, "", f"{self._why}: holding")
        weight = float(ease(waited - c.hold_s, c.return_s))
        self._vector = (1.0 - weight) * self._held
        if weight < 1.0:
            return Selection(State.RETURNING, self._vector, "", f"{self._why}: returning to neutral")
        return Selection(State.NEUTRAL, self._vector, "", "no source commands")
