"""Faces that are nothing but a place, a size and a name, with embeddings at right angles."""

from __future__ import annotations

import math

import numpy as np

from fabg.perception.landmark import Reading
from fabg.perception.types import Roi

SKIN = {"ann": (200, 150, 120), "bob": (90, 60, 45), "cid": (235, 200, 185), "dot": (150, 110, 160)}


def vector(name: str) -> np.ndarray:
    """One person's embedding: those of two people are at right angles."""
    return np.eye(8, dtype=np.float32)[sorted(SKIN).index(name)]


def reading(x: float, y: float = 200.0, size: float = 80.0, turn_deg: float = 0.0) -> Reading:
    """An upright face with its middle at (x, y)."""
    landmarks = np.zeros((478, 3))
    landmarks[:, :2] = (x, y)
    landmarks[10, 1], landmarks[152, 1] = y - size / 2, y + size / 2
    c, s = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return Reading(landmarks, np.zeros(52), rotation, (x, y), Roi(x - size / 2, y - size / 2, size, size))


def mixed(**parts: float) -> np.ndarray:
    """An embedding that is partly like several people."""
    blend = sum(weight * vector(name) for name, weight in parts.items())
    return np.asarray(blend / np.linalg.norm(blend), dtype=np.float32)
