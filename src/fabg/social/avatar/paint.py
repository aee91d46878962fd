"""Paint a person's head. Every texel is computed from its place on the reference body, in m.

Axes as in `fabg.social.avatar.body_asset`: origin between the eyes, x forward, y left, z up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.robot.canvas import Image, as_bytes, mix, spread, step
from fabg.social.avatar.body_asset import BodyAsset
from fabg.social.avatar.hand_model import HandModel
from fabg.social.avatar.people import Person
from fabg.social.avatar.poses import HAND_SHAPES

Layer = NDArray[np.float32]

HALF_EYES = 0.0308
"""Half the distance between the reference's eyes, m."""
_EYE_RADIUS = 0.0147

HAIR_LINE: Mapping[str, float | None] = {
    "none": None,
    "cropped": 0.0,
    "short": 0.0,
    "full": -0.004,
    "long": -0.003,
}
"""How far the hair comes down beside its usual line, m; None for a bald head."""


def hair_cover(x: NDArray, y: NDArray, z: NDArray) -> NDArray:
    """Return how far inside the hair a place on the reference's head lies, m (negative: outside)."""
    side = np.abs(y)
    # Across the forehead, lower at the temples; then down in front of the ear, and round into the neck.
    forehead = z - 0.0690 + 0.50 * np.clip(side - 0.026, 0, None)
    burns = np.minimum(-0.026 - x + 0.45 * (z - 0.030), z - 0.002 + 0.9 * np.clip(-0.05 - x, 0, None))
    neck = z + 0.048 - 0.012 * np.cos(side * 45)
    share = np.clip((-0.072 - x) / 0.02, 0, 1)
    line = np.where(side > 0.045, np.maximum(forehead, burns), forehead)
    line = line * (1 - share) + neck * share
    ear = 0.030 - np.hypot(x + 0.070, z + 0.012)
    return np.where(side > 0.055, np.minimum(line, -ear), line)


def paint_head(person: Person, body: BodyAsset) -> Image:
    """Return the texture (H, W, 3) of a person's head and neck, its row 0 at v = 0."""
    x, y, z, lips, shade = (body.canvas[..., i] for i in range(5))
    rng = np.random.default_rng(person.paint_seed)
    tone = _rgb(person.skin)
    side = np.abs(y)
    front = step(-0.045, -0.025, x)

    def blob(y0: float, z0: float, width: float, height: float) -> Layer:
        return np.exp(-(((side - y0) / width) ** 2) - ((z - z0) / height) ** 2)

    old = float(np.clip((person.age_years - 30) / 50, 0, 1))
    mottle = 0.008 * _noise(rng, x.shape, 2) + (0.014 + 0.014 * old) * _noise(rng, x.shape, 24)
    colour = tone * (1 + mottle)[..., None]
    pale = float(np.clip((tone.mean() - 0.25) / 0.5, 0, 1))
    flush = tone * _rgb((1.02, 0.80 + 0.08 * (1 - pale), 0.80 + 0.08 * (1 - pale)))
    colour = mix(colour, flush, 0.36 * blob(0.046, -0.034, 0.021, 0.017) * front)
    colour = mix(colour, flush, 0.32 * blob(0.0, -0.029, 0.014, 0.013) * step(0.01, 0.03, x))
    colour = mix(colour, flush, 0.40 * blob(0.082, -0.013, 0.012, 0.03))
    colour = mix(
        colour,
        tone * _rgb((0.84, 0.75, 0.74)),
        (0.32 + 0.3 * old) * blob(0.031, 0.004, 0.018, 0.010) * front,
    )
    if person.male > 0.6 and person.age_years > 18:
        colour = mix(
            colour,
            tone * 0.62 + 0.12 * _rgb(person.hair),
            0.30 * (person.male - 0.4) * _beard(x, side, z),
        )
    colour = mix(
        colour,
        _rgb(person.lips) * (1 + 0.03 * _noise(rng, x.shape, 3))[..., None],
        0.85 * step(0.14, 0.80, lips),
    )

    gap = np.sqrt(x * x + (side - HALF_EYES) ** 2 + z * z) - _EYE_RADIUS
    near_eye = blob(HALF_EYES, 0.001, 0.020, 0.014) * front
    upper = step(-0.003, 0.003, z + 0.06 * (side - HALF_EYES))
    rim = step(0.0024, 0.0009, gap) * step(0.25, 0.5, near_eye)
    lash = _rgb(person.brows) * 0.35 + 0.02
    colour = mix(colour, lash, rim * (0.22 + (0.50 + 0.20 * (1 - person.male)) * upper))
    colour = mix(colour, _rgb(person.brows), _brows(person, side, z, rng) * front)
    lowered = HAIR_LINE[person.hair_style]
    if lowered is not None:
        strands = 1 + 0.16 * _noise(rng, x.shape, 2) + 0.10 * _noise(rng, x.shape, 9)
        inside = hair_cover(x, y, z) - lowered + 0.0016 * _noise(rng, x.shape, 4)
        soft = 0.005 if person.hair_style == "cropped" else 0.003
        cover = step(-soft, soft, inside) * (0.88 if person.hair_style == "cropped" else 1.0)
        colour = mix(colour, _rgb(person.hair) * strands[..., None], cover)
    # Light that bounces inside skin is red: shade takes less of it.
    colour = colour * np.clip(shade, 0.05, 1)[..., None] ** _rgb((0.20, 0.42, 0.48))
    return spread(as_bytes(colour), body.covered)


def _beard(x: Layer, side: Layer, z: Layer) -> Layer:
    """Where a shaven beard shows: jaw, chin and upper lip."""
    line = -0.052 - 0.25 * np.clip(0.040 - side, 0, None) + 0.9 * np.clip(side - 0.052, 0, None)
    jaw = step(0.008, -0.012, z - line) * step(-0.155, -0.125, z) * step(-0.075, -0.055, x)
    lip = np.exp(-((side / 0.026) ** 4) - ((z + 0.058) / 0.008) ** 2)
    return np.clip(np.maximum(jaw, lip), 0, 1)


def _brows(person: Person, side: Layer, z: Layer, rng: np.random.Generator) -> Layer:
    """Opacity of the eyebrows: an arc, fuller inside, tapering outwards."""
    along = np.clip((side - 0.0125) / 0.0445, -0.2, 1.2)
    t = np.clip(along, 0, 1)
    arch = 0.0052 + 0.0010 * (1 - person.male)
    centre = (
        0.0136 + person.brow_raise_m + arch * np.sin(np.pi * np.clip(t * 0.72 + 0.03, 0, 1)) - 0.0050 * t**3
    )
    half = 0.0034 * (0.75 + 0.35 * person.brow_fullness) * (1 - 0.66 * t**1.4)
    arc = step(1.35, 0.35, np.abs(z - centre) / half) * step(-0.10, 0.14, along) * step(1.10, 0.86, along)
    strands = 0.86 + 0.13 * _noise(rng, z.shape, 2)
    return np.clip(arc * strands * np.clip(0.72 + 0.2 * person.brow_fullness, 0, 0.95), 0, 1)


def _rgb(colour: Iterable[float]) -> Layer:
    return np.array(tuple(colour), dtype=np.float32)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], cell: int) -> Layer:
    coarse = rng.standard_normal((shape[0] // cell + 2, shape[1] // cell + 2), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC))


def paint_hand(person: Person, hand: HandModel) -> NDArray[np.float32]:
    """Return the colour of each vertex of a hand, (n, 3): lighter in the palm, redder at the knuckles."""
    tone = np.array(person.skin, dtype=np.float32)
    normals = hand.mesh.normals(hand.rest)
    palm = step(0.15, 0.75, -normals[:, 2]) * step(-0.085, -0.06, hand.rest[:, 0])
    dark = float(np.clip(1 - tone.mean() / 0.7, 0, 1))
    light = tone * (1 + 0.75 * dark) * np.array([1.03, 0.94, 0.92]) + 0.05 * dark
    colour = mix(np.broadcast_to(tone, (len(palm), 3)), light, palm * (0.45 + 0.4 * dark))
    bumps = np.zeros(len(palm))
    posed, joints = hand.skinned(HAND_SHAPES["relaxed"], hand.forearm)
    for joint in (5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19):
        away = np.linalg.norm(posed - joints[joint], axis=1)
        bumps = np.maximum(bumps, np.exp(-((away / 0.010) ** 2)))
    colour = mix(colour, tone * [0.93, 0.74, 0.70], 0.40 * bumps * (1 - palm))
    nail = np.clip(np.array([0.92, 0.74, 0.70]) * (0.45 + 0.7 * tone.mean()), 0, 1)
    colour = mix(colour, nail, 0.65 * hand.mesh.nails)
    return np.clip(colour, 0, 1).astype(np.float32)
