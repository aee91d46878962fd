"""How hands are found, followed and understood: all settings of `fabg.perception.hands`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fabg.errors import ConfigError, check_ranges


@dataclass(frozen=True, kw_only=True)
class HandTrackerConfig:
    """How hands are found, followed and understood.

    Attributes
    ----------
    max_hands
        How many hands are followed at once, 1..8.
    detect_every
        Images between two looks at the whole image while hands are followed and there may be more, >= 1.
    search_every
        The same while no hand is there or one was lost, >= 1.
    keep_lost_s
        How long a hand that is hidden keeps its id, s.
    detection_score
        Lowest score of the palm detector that counts, 0..1.
    presence_score
        A hand that is followed is there while the landmark net is at least so sure, 0..1.
    new_presence_score
        The same for a new hand that the detector saw in a part of the image only, 0..1.
    min_hand_px
        Smaller hands are not read, px.
    hold_s
        A gesture must hold for so long to be shown, s.
    release_s
        A shown gesture that is not seen for so long is none any more, s.
    smoothing_s
        Time constant with which shape and direction are smoothed, s.
    min_shape
        A shape with a smaller probability is none, 0..1.
    wave_amplitude
        Least way of the fingertips between two turns of a wave, in hand sizes.
    wave_reversals
        So many turns make a wave, >= 2.
    reach_m
        A hand is held out when it is so much nearer to the camera than its owner's face, m.
    reach_distance_m
        A hand without an owner in sight is held out when it is nearer than this, m.
    reach_below_m
        A hand that is further below its owner's face rests, m.
    hang_deg
        A hand that points further below the horizontal hangs, unless its index finger points, degrees.
    horizontal_fov_deg
        Field of view across the image, used while the camera has not told its calibration, degrees.
    id_prefix
        First letters of every id.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    max_hands: int = 4
    detect_every: int = 6
    search_every: int = 1
    keep_lost_s: float = 0.7
    detection_score: float = 0.3
    presence_score: float = 0.5
    new_presence_score: float = 0.85
    min_hand_px: float = 16.0
    hold_s: float = 0.12
    release_s: float = 0.25
    smoothing_s: float = 0.06
    min_shape: float = 0.5
    wave_amplitude: float = 0.3
    wave_reversals: int = 2
    reach_m: float = 0.15
    reach_distance_m: float = 0.8
    reach_below_m: float = 0.5
    hang_deg: float = 40.0
    horizontal_fov_deg: float = 60.0
    id_prefix: str = "h"

    def __post_init__(self) -> None:
        ranges = {
            "max_hands": (1, 8),
            "detect_every": (1, 10_000),
            "search_every": (1, 10_000),
            "keep_lost_s": (0.0, 60.0),
            "detection_score": (0.05, 0.99),
            "presence_score": (0.05, 1.0),
            "new_presence_score": (0.05, 1.0),
            "min_hand_px": (1.0, 4096.0),
            "hold_s": (0.0, 5.0),
            "release_s": (0.0, 5.0),
            "smoothing_s": (0.0, 5.0),
            "min_shape": (0.0, 1.0),
            "wave_amplitude": (0.05, 5.0),
            "wave_reversals": (2, 8),
            "reach_m": (0.0, 1.5),
            "reach_distance_m": (0.0, 10.0),
            "reach_below_m": (0.0, 3.0),
            "hang_deg": (-90.0, 90.0),
            "horizontal_fov_deg": (1.0, 179.0),
        }
        check_ranges(self, ranges)
        if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9]{0,11}", self.id_prefix):
            raise ConfigError(
                f"id_prefix is {self.id_prefix!r}: expected 1 to 12 letters or digits, a letter first"
            )
