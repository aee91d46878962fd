"""Time that only runs forward, from stamps that may not."""

from __future__ import annotations

import math

from fabg.errors import InputError

NOMINAL_STEP_S = 1 / 30


class ImageClock:
    """Turns the stamps of images into a time that rises with every image.

    A stamp that is not later than the one before counts as 1/30 s later, as in the face tracker: a
    video that starts over, or two images with one stamp, neither stops nor turns back what is timed.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        """Time of the last image, s; begins at 0 with the first."""
        self._stamp_s: float | None = None

    def advance(self, stamp_s: float) -> float:
        """Take the next image's stamp and return the time since the one before, s, above 0 (0 at first).

        Raises
        ------
        InputError
            When the stamp is not finite.
        """
        if not math.isfinite(stamp_s):
            raise InputError(f"stamp is {stamp_s} s: expected a finite number")
        if self._stamp_s is None:
            step_s = 0.0
        else:
            step_s = stamp_s - self._stamp_s
            if step_s <= 0.0:
                step_s = NOMINAL_STEP_S
        self._stamp_s = stamp_s
        self.now_s += step_s
        return step_s
