"""What faces express: seven basic emotions, valence and arousal, from movements and from pictures.

Two witnesses are heard. **Movements**: action units weighed after the prototypes of EMFACS (Friesen and
Ekman 1983; Ekman, Friesen, Hager 2002, Investigator's Guide, table 10-1). **Pictures**: a small network
(`fabg.perception.emotion_net`). They are fused as a product of experts (Hinton 2002): the logarithms of
their probabilities are added with the weights of the configuration. Valence and arousal are the
expectation of each emotion's place in Russell's circumplex (1980).

An expression is not a feeling; docs/responsible-use.md tells what may be made of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fabg.errors import ConfigError, check_ranges
from fabg.perception.affect import UNITS, Affect, AffectConfig, AffectReader
from fabg.perception.clock import ImageClock
from fabg.perception.emotion_net import EmotionNetwork, usable
from fabg.perception.landmark import N_LANDMARKS
from fabg.perception.purpose import Permit, permit
from fabg.perception.roi import size_of
from fabg.perception.types import EMOTIONS, Emotion, Face, Faces

Crop = Callable[[Face], "NDArray[np.uint8] | None"]
"""Gives the picture of a face as `fabg.perception.roi.aligned` makes it, or None when there is none."""

PROTOTYPES: dict[str, dict[str, float]] = {
    "angry": {"brow_lower": 1.2, "lip_press": 1.0, "brow_inner_up": -0.6, "brow_outer_up": -0.3, "smile": -0.8},
    "disgusted": {"lip_raise": 1.6, "lip_lower": 0.4, "brow_lower": 0.5, "smile": -0.8, "brow_outer_up": -0.4},
    "scared": {
        "brow_inner_up": 0.5, "brow_lower": 0.3, "eye_wide": 0.8, "lip_stretch": 1.4, "jaw_open": 0.1, "smile": -0.8,
    },
    "happy": {"smile": 1.5, "lip_corner_down": -0.8, "brow_lower": -0.3},
    "sad": {"brow_inner_up": 0.5, "brow_lower": 0.2, "lip_corner_down": 1.8, "brow_outer_up": -0.5, "smile": -0.8},
    "surprised": {
        "brow_inner_up": 0.4, "brow_outer_up": 0.5, "eye_wide": 0.4, "jaw_open": 0.4, "lip_stretch": -0.5,
        "brow_lower": -0.8, "smile": -0.8,
    },
    "neutral": {},
}  # fmt: skip
"""How much each movement speaks for an emotion (or against it: below 0).

Happy 6+12; sad 1+4+15; surprised 1+2+5+26; scared 1+2+4+5+7+20+26; angry 4+5+7+23; disgusted 9+15+16 and
10+16. Units 6 and 9 are not read (see `fabg.perception.facs.UNRELIABLE`) and 7 is read too poorly to count;
24 stands in for 23. Movements that are read weakly (10, 15, 20, 24: a full one reads as a fourth) weigh more.
"""

_EVIDENCE = np.array(
    [[PROTOTYPES[name].get(unit.name, 0.0) for unit in UNITS] for name in EMOTIONS], dtype=np.float64
)

CIRCUMPLEX: dict[str, tuple[float, float]] = {
    "angry": (-0.6, 0.7),
    "disgusted": (-0.7, 0.3),
    "scared": (-0.6, 0.8),
    "happy": (0.9, 0.4),
    "sad": (-0.7, -0.4),
    "surprised": (0.2, 0.8),
    "neutral": (0.0, 0.0),
}
"""Valence and arousal of each emotion, -1..1: after Russell (1980), rounded."""

_PLANE = np.array([CIRCUMPLEX[name] for name in EMOTIONS])
_NEUTRAL = EMOTIONS.index("neutral")
MAX_LAG_S = 0.1
"""Smoothing reaches half of a step within this time; longer settings are refused."""
MAX_SMOOTHING_S = math.floor(1e3 * MAX_LAG_S / math.log(2.0)) / 1e3
"""The time constant of a first-order smoothing that does."""
_GAP_S = 0.5
"""After so long without a face its past counts no more."""


@dataclass(frozen=True, kw_only=True)
class EmotionConfig:
    """How expressions are weighed, and what for.

    Attributes
    ----------
    purpose, grounds
        What emotions are inferred for; see `fabg.perception.purpose`. There is no default.
    network
        Whether pictures are read at all; without them the movements decide alone.
    network_hz
        The network reads each face at most so often a second, 0.1..60.
    network_weight, unit_weight
        Weights of both witnesses' log probabilities, 0..5.
    network_age_s
        The network's answer fades from half of this time on and counts no more after it, 0.05..5 s.
    unit_gain
        Log odds that a whole prototype movement adds, 0.1..20.
    neutral_bias
        Log odds by which a face without movement is neutral rather than anything else, 0..10.
    smoothing_s
        Time constant of the smoothing, 0..0.144 s: half of a step is reached after 0.69 of it.
    enter, leave
        A label is given from this probability on, and kept down to that one, 0.15..1; leave <= enter.
    margin
        It is only taken up when it lies so far before the second, 0..1.
    min_face_px
        Smaller faces are unknown, px; confidence is full at twice this size.
    max_turn_deg
        Faces turned further from the camera are unknown, degrees; confidence is full at half of it.
    affect
        How a person's resting face is learned.

    Raises
    ------
    ConfigError
        When a value is out of range, or the purpose is missing or refused.
    """

    purpose: str = ""
    grounds: str = ""
    network: bool = True
    network_hz: float = 10.0
    network_weight: float = 0.6
    network_age_s: float = 0.5
    unit_weight: float = 1.0
    unit_gain: float = 6.0
    neutral_bias: float = 2.0
    smoothing_s: float = 0.1
    enter: float = 0.5
    leave: float = 0.35
    margin: float = 0.15
    min_face_px: float = 30.0
    max_turn_deg: float = 50.0
    affect: AffectConfig = field(default_factory=AffectConfig)

    def __post_init__(self) -> None:
        ranges = {
            "network_hz": (0.1, 60.0),
            "network_weight": (0.0, 5.0),
            "network_age_s": (0.05, 5.0),
            "unit_weight": (0.0, 5.0),
            "unit_gain": (0.1, 20.0),
            "neutral_bias": (0.0, 10.0),
            "smoothing_s": (0.0, MAX_SMOOTHING_S),
            "enter": (0.15, 1.0),
            "leave": (0.15, 1.0),
            "margin": (0.0, 1.0),
            "min_face_px": (1.0, 4096.0),
            "max_turn_deg": (1.0, 90.0),
        }
        check_ranges(self, ranges)
        if self.leave > self.enter:
            raise ConfigError(f"leave is {self.leave}, enter is {self.enter}: expected leave <= enter")
        permit(self.purpose, self.grounds)

    @property
    def permit(self) -> Permit:
        """The purpose that has passed the gate."""
        return permit(self.purpose, self.grounds)


@dataclass
class _State:
    seen_s: float
    smooth: NDArray[np.float64]
    label: str = ""
    seen_net: NDArray[np.float64] | None = None
    net_s: float = -math.inf


class EmotionEstimator:
    """Tells what each face expresses, image by image. Not thread-safe.

    Parameters
    ----------
    config
        How expressions are weighed; must hold a permitted purpose.
    network
        The network to use instead of the model file; the estimator closes it.
    reader
        What reads the movements instead of an `AffectReader` of its own.

    Raises
    ------
    ConfigError
        When there is no permitted purpose.
    ModelFileError
        When a model is missing or altered.
    """

    def __init__(
        self,
        config: EmotionConfig,
        *,
        network: EmotionNetwork | None = None,
        reader: AffectReader | None = None,
    ) -> None:
        self._config = config
        self._network = network or (EmotionNetwork() if config.network else None)
        self._reader = reader or AffectReader(config.affect)
        self._clock = ImageClock()
        self._states: dict[str, _State] = {}
        self.network_runs = 0
        """How often the network has read a face."""
        self.without_picture: tuple[str, ...] = ()
        """Faces of the last image of which the network knows nothing (any more): movements alone decide."""

    @property
    def config(self) -> EmotionConfig:
        """The configuration in force."""
        return self._config

    def configure(self, config: EmotionConfig) -> None:
        """Take another configuration from the next image on; what is known of faces stays.

        Raises
        ------
        ConfigError
            When the purpose or its grounds would change: make a new estimator for another purpose.
        """
        if config.permit != self._config.permit:
            raise ConfigError(f"purpose is {config.permit}: it was {self._config.permit} and cannot change")
        if config.network and self._network is None:
            self._network = EmotionNetwork()
        self._config, self._reader.config = config, config.affect

    def close(self) -> None:
        """Free the model; harmless when done twice."""
        if self._network is not None:
            self._network.close()

    def __enter__(self) -> EmotionEstimator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, faces: Faces, crop: Crop) -> tuple[Emotion, ...]:
        """Return what each face of one image expresses, in the order of the faces.

        Parameters
        ----------
        faces
            The faces of one image.
        crop
            Asked for the picture of a face when it is the network's turn; what cannot be read (too
            small, not uint8) counts as none.

        Raises
        ------
        InputError
            When the stamp is not finite.
        """
        self._clock.advance(faces.stamp_s)
        now_s = self._clock.now_s
        affects = self._reader.update(faces)
        blind: list[str] = []
        emotions = tuple(self._emotion(f, a, crop, blind) for f, a in zip(faces.faces, affects, strict=True))
        self.without_picture = tuple(blind)
        keep_s = self._config.affect.forget_s
        self._states = {n: s for n, s in self._states.items() if now_s - s.seen_s <= keep_s}
        return emotions

    def _emotion(self, face: Face, affect: Affect, crop: Crop, blind: list[str]) -> Emotion:
        config, now_s = self._config, self._clock.now_s
        quality = _quality(face, config)
        known = self._states.get(face.id)
        state = self._states.setdefault(face.id, _State(now_s, np.full(len(EMOTIONS), 1.0 / len(EMOTIONS))))
        if quality > 0.0:
            self._look(face, state, crop)
        weight = self._network_weight(state)
        if weight == 0.0:
            blind.append(face.id)
        probabilities = fused(affect, state.seen_net, weight, config)
        gap_s = now_s - state.seen_s
        if known is None or gap_s > _GAP_S:
            state.smooth, state.label = probabilities, ""
        else:
            state.smooth = state.smooth + share(gap_s, config.smoothing_s) * (probabilities - state.smooth)
        state.seen_s = now_s
        state.label = _label(state.smooth, state.label, config) if quality > 0.0 else ""
        valence, arousal = quality * (state.smooth @ _PLANE)
        confidence = quality * float(state.smooth[EMOTIONS.index(state.label)]) if state.label else 0.0
        return Emotion(
            face_id=face.id,
            label=state.label,
            confidence=confidence,
            probabilities=state.smooth.copy(),
            valence=float(valence),
            arousal=float(arousal),
            smile=affect.smile,
            surprise=affect.surprise,
        )

    def _look(self, face: Face, state: _State, crop: Crop) -> None:
        now_s, config = self._clock.now_s, self._config
        # A hair less than the period: stamps of 25 Hz must not turn 10 Hz into 8.3.
        due = now_s - state.net_s >= 0.999 / config.network_hz
        if self._network is None or not config.network or not due:
            return
        picture = crop(face)
        if picture is not None and usable(picture):
            state.seen_net, state.net_s = self._network.read(picture), now_s
            self.network_runs += 1

    def _network_weight(self, state: _State) -> float:
        if state.seen_net is None or not self._config.network:
            return 0.0
        age = (self._clock.now_s - state.net_s) / self._config.network_age_s
        return self._config.network_weight * max(0.0, min(1.0, 2.0 - 2.0 * age))


def share(step_s: float, smoothing_s: float) -> float:
    """Return how much of a step a first-order smoothing takes over in `step_s`, 0..1."""
    return 1.0 if smoothing_s <= 0.0 else -math.expm1(-step_s / smoothing_s)


def unit_probabilities(affect: Affect, config: EmotionConfig) -> NDArray[np.float64]:
    """Return what the movements alone say of `EMOTIONS`, shape (7,), sum 1."""
    scores = config.unit_gain * (_EVIDENCE @ affect.units.mean(axis=1))
    scores[_NEUTRAL] += config.neutral_bias
    return _softmax(scores)


def fused(
    affect: Affect, network: NDArray[np.float64] | None, network_weight: float, config: EmotionConfig
) -> NDArray[np.float64]:
    """Return the product of both witnesses, shape (7,), sum 1: p ~ units^unit_weight * network^network_weight."""
    scores = config.unit_weight * np.log(unit_probabilities(affect, config))
    if network is not None and network_weight > 0.0:
        scores = scores + network_weight * np.log(network)
    return _softmax(scores)


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(scores - scores.max())
    return np.asarray(raised / raised.sum())


def _label(probabilities: NDArray[np.float64], before: str, config: EmotionConfig) -> str:
    """Return the label with hysteresis: a new one must be clear, the old one may fade for a while."""
    second, first = np.argsort(probabilities)[-2:]
    best, rest = float(probabilities[first]), float(probabilities[second])
    if best >= config.enter and best - rest >= config.margin:
        return EMOTIONS[first]
    if before and probabilities[EMOTIONS.index(before)] >= config.leave:
        return before
    return ""


def _quality(face: Face, config: EmotionConfig) -> float:
    """Return how well a face can be read, 0..1, from its size and turn; 0 without landmarks."""
    if face.landmarks.shape != (N_LANDMARKS, 3) or not np.isfinite(face.landmarks).all():
        return 0.0
    size = size_of(face.roi)
    turn_deg = _turn_deg(face)
    if not (math.isfinite(size) and math.isfinite(turn_deg)):
        return 0.0
    by_size = size / config.min_face_px - 1.0
    by_turn = 2.0 - 2.0 * turn_deg / config.max_turn_deg
    return max(0.0, min(1.0, by_size, by_turn))


def _turn_deg(face: Face) -> float:
    """Return the angle between where the face points and the way to the camera, degrees."""
    to_camera, out = -face.pose[:3, 3], face.pose[:3, 0]
    lengths = float(np.linalg.norm(to_camera) * np.linalg.norm(out))
    if not lengths > 0.0:
        return math.nan
    return math.degrees(math.acos(max(-1.0, min(1.0, float(to_camera @ out) / lengths))))
