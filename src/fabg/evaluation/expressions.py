"""Rendered people who show planned expressions, read by the real landmarker.

    samples = sample_expressions(range(1000, 1010), lambda rng: mixes(rng, 20), seed=1)
    found = [(face, shown) for face, shown in zip(samples.faces, samples.shapes) if face is not None]

Everything follows from the seeds. People below 1000 are for fitting, those from 1000 on for reporting.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.expression import INDEX, N_SHAPES, SHAPES
from fabg.perception.landmark import Landmarker
from fabg.perception.pose import Camera, head_pose
from fabg.perception.roi import aligned, square
from fabg.perception.types import Face, Faces
from fabg.social.avatar import (
    Actor,
    Background,
    EyeAngles,
    FacePose,
    FaceTruth,
    Lens,
    Light,
    Person,
    Studio,
    facing,
)

Array = NDArray[np.float64]
Plan = Callable[[np.random.Generator], Array]
"""Makes what one person shows: shapes (n, 52), one row a picture."""


def _pair(shape: str) -> tuple[str, str]:
    return f"{shape}Left", f"{shape}Right"


GROUPS: dict[str, tuple[str, ...]] = {
    "jawOpen": ("jawOpen",),
    "mouthSmile": _pair("mouthSmile"),
    "eyeBlink": _pair("eyeBlink"),
    "browInnerUp": ("browInnerUp",),
    "browOuterUp": _pair("browOuterUp"),
    "browRaise": ("browInnerUp", *_pair("browOuterUp")),
    "browDown": _pair("browDown"),
    "eyeWide": _pair("eyeWide"),
    "eyeSquint": _pair("eyeSquint"),
    "mouthFrown": _pair("mouthFrown"),
    "mouthPucker": ("mouthPucker",),
    "mouthFunnel": ("mouthFunnel",),
    "mouthStretch": _pair("mouthStretch"),
    "mouthPress": _pair("mouthPress"),
    "mouthUpperUp": _pair("mouthUpperUp"),
    "mouthLowerDown": _pair("mouthLowerDown"),
    "noseSneer": _pair("noseSneer"),
    "cheekPuff": ("cheekPuff",),
    "cheekSquint": _pair("cheekSquint"),
    "tongueOut": ("tongueOut",),
}
"""Movements and the shapes, of both sides, that draw them."""

MIXED = tuple(name for name in GROUPS if name != "tongueOut")
"""What `mixes` draws from."""

SINGLE = tuple(name for name in SHAPES if not name.startswith("eyeLook") and name != "tongueOut")
"""Shapes of single sides that `scattered` draws from; where the eyes look follows from the gaze."""

MAIN = ("mouthSmile", "jawOpen", "eyeBlink", "browRaise", "browDown")
"""The movements that a robot mirrors first."""

EMFACS: dict[str, dict[str, float]] = {
    "angry": {"browDown": 0.9, "eyeSquint": 0.5, "mouthPress": 0.7, "eyeWide": 0.2},
    "disgusted": {"noseSneer": 0.9, "mouthUpperUp": 0.8, "browDown": 0.4, "mouthLowerDown": 0.2, "cheekSquint": 0.4},
    "scared": {
        "browInnerUp": 0.8, "browOuterUp": 0.4, "browDown": 0.4, "eyeWide": 0.9, "mouthStretch": 0.8, "jawOpen": 0.3,
    },
    "happy": {"mouthSmile": 0.9, "cheekSquint": 0.7},
    "sad": {"browInnerUp": 0.9, "browDown": 0.4, "mouthFrown": 0.9},
    "surprised": {"browRaise": 0.9, "eyeWide": 0.7, "jawOpen": 0.7},
    "neutral": {},
}  # fmt: skip
"""Prototype expressions after EMFACS (6+12; 1+4+15; 1+2+5+26; 1+2+4+5+20+26; 4+5+7+24; 9+10+16), drawn as shapes."""


def shown(**groups: float) -> Array:
    """Return the shapes (52,) of movements of both sides, by the names of `GROUPS`."""
    shapes = np.zeros(N_SHAPES)
    for name, value in groups.items():
        for shape in GROUPS[name]:
            shapes[INDEX[shape]] = max(shapes[INDEX[shape]], value)
    return shapes


def sweep(name: str, steps: int = 7, resting: int = 0) -> Array:
    """Return one movement from rest to full, shape (resting + steps, 52), after some resting faces."""
    rows = [shown()] * resting + [shown(**{name: v}) for v in np.linspace(0.0, 1.0, steps)]
    return np.array(rows)


def mixes(rng: np.random.Generator, count: int, groups: tuple[int, int] = (2, 5), resting: int = 0) -> Array:
    """Return random expressions, shape (resting + count, 52), after some resting faces.

    Each holds so many movements, as strong as chance has it, a third of them stronger on one side.
    """
    rows = [np.zeros(N_SHAPES)] * resting
    for _ in range(count):
        shapes = np.zeros(N_SHAPES)
        for name in rng.choice(MIXED, rng.integers(groups[0], groups[1] + 1), replace=False):
            value, uneven = rng.uniform(), rng.uniform() < 1 / 3
            for shape in GROUPS[name]:
                drawn = value * rng.uniform() if uneven else value
                shapes[INDEX[shape]] = max(shapes[INDEX[shape]], drawn)
        rows.append(shapes)
    return np.array(rows)


def scattered(rng: np.random.Generator, count: int, most: int = 6) -> Array:
    """Return random expressions, shape (count, 52): shapes of `SINGLE`, each on its own.

    To as many as `most` shapes of any side come, every other time, movements of both sides.
    """
    rows = np.zeros((count, N_SHAPES))
    for shapes in rows:
        for name in rng.choice(SINGLE, rng.integers(1, most + 1), replace=False):
            shapes[INDEX[str(name)]] = rng.uniform()
        for name in MAIN:
            if rng.uniform() < 0.4:
                value, apart = rng.uniform(), 0.3 if rng.uniform() < 0.25 else 0.0
                for shape in GROUPS[name]:
                    shapes[INDEX[shape]] = np.clip(value + rng.uniform(-apart, apart), 0.0, 1.0)
    return rows


def prototypes(rng: np.random.Generator, strengths: tuple[float, ...] = (0.6, 1.0)) -> Array:
    """Return each emotion of `EMFACS` at each strength, shape (7 * strengths, 52), movements varied by a tenth."""
    rows = []
    for strength in strengths:
        for movements in EMFACS.values():
            varied = {
                n: float(np.clip(strength * v * rng.normal(1.0, 0.1), 0, 1)) for n, v in movements.items()
            }
            rows.append(shown(**varied))
    return np.array(rows)


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How far head, eyes and light vary, each drawn evenly.

    Attributes
    ----------
    distance_m
        Nearest and farthest, m.
    yaw_deg, pitch_deg, roll_deg, gaze_deg
        Largest angles to both sides, degrees.
    """

    distance_m: tuple[float, float] = (0.4, 1.2)
    yaw_deg: float = 25.0
    pitch_deg: float = 15.0
    roll_deg: float = 10.0
    gaze_deg: float = 12.0


STILL = Motion(distance_m=(0.5, 0.7), yaw_deg=3.0, pitch_deg=3.0, roll_deg=2.0, gaze_deg=2.0)
"""A person who sits and looks at the camera."""


@dataclass(frozen=True)
class ExpressionSamples:
    """Readings of n pictures beside what was shown, person by person in the order of their plan.

    Attributes
    ----------
    faces
        What was read, with the person's seed as id; None where the landmarker found no face.
    pictures
        The aligned picture of each face (see `fabg.perception.roi.aligned`); None without a face.
    shapes
        What was shown, shape (n, 52).
    person
        Seeds, shape (n,).
    conditions
        ``distance_m``, ``yaw_deg``, ``pitch_deg``, ``tone`` (0 dark to 1 light), shape (n,) each.
    """

    faces: tuple[Face | None, ...]
    pictures: tuple[NDArray[np.uint8] | None, ...]
    shapes: Array
    person: NDArray[np.int64]
    conditions: dict[str, Array]

    def __len__(self) -> int:
        return len(self.faces)

    def images(self, hz: float = 5.0) -> list[Faces]:
        """Return what a node would get, `hz` images a second; after each person comes a pause of 1 s."""
        stamp_s, before, made = 0.0, None, []
        for face, person in zip(self.faces, self.person, strict=True):
            stamp_s += 1.0 / hz if person == before else 1.0
            before = person
            made.append(Faces(stamp_s, (640, 480), () if face is None else (face,)))
        return made


def sample_expressions(
    people: Iterable[int],
    plan: Plan,
    *,
    seed: int,
    motion: Motion | None = None,
    progress: Callable[[int], None] | None = None,
) -> ExpressionSamples:
    """Render people who follow a plan and read them with the real landmarker.

    The crop for the landmarker is the true box of the face, moved and scaled a little by chance, as a
    tracker's would be. Pictures have 640 x 480 px and see 60 degrees across.

    Parameters
    ----------
    people
        Their seeds.
    plan
        Makes what one person shows from a generator of their own.
    seed
        Of everything that varies; a person's pictures depend on `seed` and the person alone.
    motion
        How far head, eyes and light vary.
    progress
        Is told how many pictures are done.
    """
    motion = motion or Motion()
    camera = Camera.from_fov(640, 480, 60.0)
    faces: list[Face | None] = []
    pictures: list[NDArray[np.uint8] | None] = []
    shapes, persons, conditions = [], [], []
    landmarker = Landmarker()
    try:
        with Studio(camera) as studio:
            for person_seed in people:
                person = Person.random(person_seed)
                rng = np.random.default_rng([seed, person_seed])
                for row in plan(rng):
                    pose, where = _head(rng, motion)
                    image, truth = _picture(rng, studio, person, pose, row, motion)
                    face = _read(rng, landmarker, image, truth, camera, str(person_seed))
                    faces.append(face)
                    pictures.append(None if face is None else aligned(image, face.landmarks))
                    shapes.append(row)
                    persons.append(person_seed)
                    conditions.append({**where, "tone": _tone(person)})
                    if progress is not None:
                        progress(len(faces))
    finally:
        landmarker.close()
    columns = {
        name: np.array([c[name] for c in conditions]) for name in (conditions[0] if conditions else ())
    }
    return ExpressionSamples(
        tuple(faces),
        tuple(pictures),
        np.array(shapes).reshape(-1, N_SHAPES),
        np.array(persons, dtype=np.int64),
        columns,
    )


def _head(rng: np.random.Generator, motion: Motion) -> tuple[Array, dict[str, float]]:
    yaw, pitch, roll = (rng.uniform(-m, m) for m in (motion.yaw_deg, motion.pitch_deg, motion.roll_deg))
    distance = float(np.exp(rng.uniform(*np.log(motion.distance_m))))
    position = distance * np.array([rng.uniform(-0.2, 0.2), rng.uniform(-0.12, 0.12), 1.0])
    angles = {"yaw_rad": math.radians(yaw), "pitch_rad": math.radians(pitch), "roll_rad": math.radians(roll)}
    return facing(position, **angles), {"distance_m": distance, "yaw_deg": yaw, "pitch_deg": pitch}


def _picture(
    rng: np.random.Generator, studio: Studio, person: Person, pose: Array, shapes: Array, motion: Motion
) -> tuple[NDArray[np.uint8], FaceTruth]:
    yaw, pitch = (math.radians(rng.uniform(-motion.gaze_deg, motion.gaze_deg)) for _ in range(2))
    light = Light(
        direction=(rng.uniform(-0.8, 0.8), rng.uniform(-0.9, -0.2), -0.8),
        key=rng.uniform(0.5, 1.0),
        ambient=rng.uniform(0.3, 0.55),
    )
    lens = Lens(
        blur_px=rng.uniform(0.0, 0.8), noise=rng.uniform(0.0, 5.0), exposure_ev=rng.uniform(-0.4, 0.4)
    )
    number = int(rng.integers(1 << 31))
    actor = Actor(person, FacePose(pose, shapes, gaze=EyeAngles.both(yaw, pitch)))
    made = studio.render([actor], light=light, background=Background("room"), lens=lens, seed=number)
    return made.image, made.faces[0]


def _read(
    rng: np.random.Generator,
    landmarker: Landmarker,
    image: NDArray[np.uint8],
    truth: FaceTruth,
    camera: Camera,
    face_id: str,
) -> Face | None:
    shift, scale = rng.normal(0.0, 0.03, 2), rng.normal(1.6, 0.05)
    if truth.box is None:
        return None
    box = square(truth.box, scale)
    crop = type(box)(
        round(box.x + shift[0] * box.width), round(box.y + shift[1] * box.width), box.width, box.height
    )
    try:
        found = landmarker.read(image, crop)
        if not found:
            return None
        reading = found[0]
        middle = (crop.center[0] - 0.5, crop.center[1] - 0.5)
        pose = head_pose(reading.landmarks, reading.rotation, middle, camera)
    except InputError:
        return None
    return Face(face_id, reading.roi, 0.95, reading.landmarks, reading.blendshapes, pose)


def _tone(person: Person) -> float:
    return float(np.mean(person.skin))
