"""Blinks: short closures of both eyes, told apart from noise by hysteresis and from sleep by duration."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from fabg.errors import ConfigError
from fabg.perception.clock import ImageClock
from fabg.perception.types import Gaze


@dataclass(frozen=True, kw_only=True)
class BlinkConfig:
    """What counts as a blink.

    Attributes
    ----------
    close
        Mean closure of both eyes from which on they are shut, 0..1.
    open
        Mean closure below which they are open again, 0..1.
    max_s
        Eyes shut for longer are closed, which is no blink, s.
    window_s
        The rate is over this time, s.

    Raises
    ------
    ConfigError
        When a value is out of range or `open` is not below `close`.
    """

    close: float = 0.6
    open: float = 0.4
    max_s: float = 0.6
    window_s: float = 60.0

    def __post_init__(self) -> None:
        for name, high in (("close", 1.0), ("open", 1.0), ("max_s", 10.0), ("window_s", 3600.0)):
            value = getattr(self, name)
            if not 0.0 < value <= high:
                raise ConfigError(f"{name} is {value}: expected above 0, at most {high}")
        if not self.open < self.close:
            raise ConfigError(f"open is {self.open}, close is {self.close}: expected open < close")


@dataclass(frozen=True)
class Blink:
    """One blink: whose, when the eyes shut (stamp of the first image, s), and for how long, s."""

    face_id: str
    start_s: float
    duration_s: float


@dataclass
class _Eyes:
    first_s: float
    seen_s: float
    shut_s: float | None = None
    shut_stamp_s: float = 0.0
    blinks: deque[float] = field(default_factory=deque)
    count: int = 0


class BlinkTracker:
    """Finds the blinks of everybody. Not thread-safe.

    A blink is reported in the image in which the eyes are open again. Who was not seen for two
    seconds is a stranger; eyes that were shut when a face was lost are not taken for a blink.
    """

    _KEEP_S = 2.0

    def __init__(self, config: BlinkConfig | None = None) -> None:
        self.config = config or BlinkConfig()
        """The configuration in force; may be replaced at any time."""
        self._clock = ImageClock()
        self._eyes: dict[str, _Eyes] = {}

    def update(self, stamp_s: float, gazes: tuple[Gaze, ...]) -> tuple[Blink, ...]:
        """Return the blinks that ended in this image.

        Raises
        ------
        InputError
            When the stamp is not finite.
        """
        step_s = self._clock.advance(stamp_s)
        now_s = self._clock.now_s
        ended = []
        for gaze in gazes:
            eyes = self._eyes.setdefault(gaze.face_id, _Eyes(now_s, now_s))
            if now_s - eyes.seen_s > 1.5 * step_s:  # not seen in the image before
                eyes.shut_s = None
            eyes.seen_s = now_s
            closed = (gaze.closed_left + gaze.closed_right) / 2
            if eyes.shut_s is None:
                if closed >= self.config.close:
                    eyes.shut_s, eyes.shut_stamp_s = now_s, stamp_s
            elif closed < self.config.open:
                duration_s, eyes.shut_s = now_s - eyes.shut_s, None
                if duration_s <= self.config.max_s:
                    eyes.blinks.append(now_s)
                    eyes.count += 1
                    ended.append(Blink(gaze.face_id, eyes.shut_stamp_s, duration_s))
        self._eyes = {n: e for n, e in self._eyes.items() if now_s - e.seen_s <= self._KEEP_S}
        return tuple(ended)

    def shut(self, face_id: str) -> bool:
        """Return whether the eyes are shut now, in a blink or for longer."""
        return face_id in self._eyes and self._eyes[face_id].shut_s is not None

    def count(self, face_id: str) -> int:
        """Return how often a person has blinked since they came; 0 for a stranger."""
        return self._eyes[face_id].count if face_id in self._eyes else 0

    def rate_hz(self, face_id: str) -> float:
        """Return blinks a second over the window, or since the person came when that is shorter."""
        if (eyes := self._eyes.get(face_id)) is None:
            return 0.0
        now_s = self._clock.now_s
        while eyes.blinks and now_s - eyes.blinks[0] > self.config.window_s:
            eyes.blinks.popleft()
        span_s = min(self.config.window_s, now_s - eyes.first_s)
        return len(eyes.blinks) / span_s if span_s > 0 else 0.0
