"""One studio for all tests of this folder: contexts and people are made once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fabg.perception.pose import Camera
from fabg.social.avatar import Actor, FacePose, Person, Studio, facing

CAMERA = Camera.from_fov(640, 480, 60.0)


@pytest.fixture(scope="package")
def studio() -> Iterator[Studio]:
    with Studio(CAMERA) as opened:
        yield opened


def look(seed: int = 3, position=(0.0, 0.0, 0.6), **turn: float) -> Actor:
    """Somebody who looks into the camera."""
    return Actor(Person.random(seed), FacePose(facing(position, **turn), gaze=np.zeros(3)))
