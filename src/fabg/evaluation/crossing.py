"""Whether ids hold while people walk past each other.

Several people wander across the image at different depths, for as long as wanted, so that each is hidden
by each of the others again and again, while their heads turn to where they go and their faces move. The
people are rendered (`fabg.social.avatar`), so the truth is exact; the counts are those of `evaluation.mot`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fabg.errors import ConfigError
from fabg.evaluation.mot import MotScore, Truth
from fabg.perception.face import FaceTracker, FaceTrackerConfig
from fabg.perception.pose import Camera
from fabg.perception.types import Frame, Roi
from fabg.social.avatar import Actor, Background, FacePose, Lens, Person, Studio, facing, shapes_of

SIZE = (640, 480)
FOV_DEG = 60.0
_FOCAL_PX = SIZE[0] / 2 / math.tan(math.radians(FOV_DEG / 2))
_MAX_YAW_RAD = math.radians(25.0)
_YAW_PER_SPEED = 0.6
_VISIBLE_ALONE = 0.74
"""The renderer counts the hidden flanks of a face, too: this is what it says of one that nobody covers."""
# The box of the 478 landmarks of a frontal face: its middle below the sellion, and its size, m.
_BELOW_M, _WIDTH_M, _HEIGHT_M = 0.03, 0.14, 0.17


@dataclass(frozen=True)
class Walk:
    """How one person wanders: sums of two sines in x and in depth, and a height.

    Attributes
    ----------
    reach, periods_s, phases
        Of the two sines across the image; reach in half widths of the image at the person's distance.
    distance_m, sway_m, sway_s
        Middle distance, and by how much and how fast it changes.
    height_m
        Of the middle of the face above the optical axis.
    """

    reach: tuple[float, float]
    periods_s: tuple[float, float]
    phases: tuple[float, float]
    distance_m: float
    sway_m: float
    sway_s: float
    height_m: float

    def at(self, t: float) -> tuple[float, float, float, float]:
        """Return x, y, z of the face in the camera's optical frame, m, and the speed across, m/s."""
        z = self.distance_m + self.sway_m * math.sin(2 * math.pi * t / self.sway_s + self.phases[1])
        half = z * SIZE[0] / 2 / _FOCAL_PX
        x = v = 0.0
        for reach, period, phase in zip(self.reach, self.periods_s, self.phases, strict=True):
            rate = 2 * math.pi / period
            x += half * reach * math.sin(rate * t + phase)
            v += half * reach * rate * math.cos(rate * t + phase)
        return x, -self.height_m, z, v


def walks(people: int, seed: int) -> list[Walk]:
    """Return one walk a person; nobody's depth comes closer than 0.12 m to another's."""
    rng = np.random.default_rng(seed)
    distances = 0.75 + 0.3 * rng.permutation(people)
    return [
        Walk(
            reach=(0.55, 0.15),
            periods_s=(float(rng.uniform(5.0, 9.0)), float(rng.uniform(2.5, 4.0))),
            phases=(float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(0, 2 * math.pi))),
            distance_m=float(distance),
            sway_m=0.09,
            sway_s=float(rng.uniform(4.0, 7.0)),
            height_m=float(rng.uniform(-0.02, 0.10)),
        )
        for distance in distances
    ]


class Scene(Protocol):
    """Anything that shows people and knows where they are."""

    def at(self, t: float) -> tuple[NDArray[np.uint8], list[Truth]]:
        """Return the image (height, width, 3) at time `t` in s, and the truth about everybody in it."""
        ...


class RenderedScene:
    """Rendered people who walk past each other. Close it, or use it as a context manager.

    Parameters
    ----------
    people
        How many, 1..6.
    seed
        Of the people, their walks, the light and the room.
    """

    def __init__(self, people: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        camera = Camera.from_fov(*SIZE, FOV_DEG)
        self._people = [Person.random(seed + i) for i in range(people)]
        self._walks = walks(people, seed)
        self._moves = [rng.uniform(0.5, 1.5, 3) for _ in range(people)]
        self._seed = seed
        self._studio = Studio(camera, SIZE, samples=0)

    def __enter__(self) -> RenderedScene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the renderer."""
        self._studio.close()

    def at(self, t: float) -> tuple[NDArray[np.uint8], list[Truth]]:
        """Return the image at time `t` in s, RGB, and the truth about everybody in it."""
        actors, boxes = [], []
        for person, walk, rates in zip(self._people, self._walks, self._moves, strict=True):
            x, y, z, speed = walk.at(t)
            yaw = min(max(_YAW_PER_SPEED * speed, -_MAX_YAW_RAD), _MAX_YAW_RAD)
            nod, talk, smile = (math.sin(2 * math.pi * rate * t) for rate in rates)
            face = FacePose(
                facing((x, y, z), yaw_rad=yaw, pitch_rad=0.08 * nod),
                shapes_of(
                    jawOpen=0.15 + 0.15 * talk,
                    mouthSmileLeft=0.3 + 0.3 * smile,
                    mouthSmileRight=0.3 + 0.3 * smile,
                ),
            )
            actors.append(Actor(person, face))
            boxes.append(_face_box(x, y, z, yaw))
        picture = self._studio.render(
            actors, background=Background("room"), lens=Lens(blur_px=0.4, noise=1.5), seed=self._seed
        )
        truths = [
            Truth(f"person {self._seed + i}", box, min(picture.faces[i].visible / _VISIBLE_ALONE, 1.0))
            for i, box in enumerate(boxes)
        ]
        return picture.image, truths


def _face_box(x: float, y: float, z: float, yaw: float) -> Roi:
    scale = _FOCAL_PX / z
    width, height = _WIDTH_M * math.cos(yaw) * scale, _HEIGHT_M * scale
    u, v = (SIZE[0] - 1) / 2 + x * scale, (SIZE[1] - 1) / 2 + (y + _BELOW_M) * scale
    return Roi(u - width / 2, v - height / 2, width, height)


@dataclass(frozen=True)
class CrossingResult:
    """What became of the ids.

    Attributes
    ----------
    seconds, fps, people
        Of the scene.
    faces
        Faces that had to be found, over all images.
    missed, false_faces
        Those that were not found, and boxes where nobody is.
    id_switches, fragmentations
        How often a person got another id, and how often a track was interrupted and resumed.
    ids
        How many ids were given in all; ideally as many as there are people.
    mota, overlap
        1 - (missed + false + switches) / faces, and the mean overlap of matched boxes, 0..1.
    crossings
        How often a face was hidden by another one.
    embeddings
        How often the identity model was asked.
    ms_per_image
        Time of the tracker.
    events
        When and how ids changed.
    """

    seconds: float
    fps: float
    people: int
    faces: int
    missed: int
    false_faces: int
    id_switches: int
    fragmentations: int
    ids: int
    mota: float
    overlap: float
    crossings: int
    embeddings: int
    ms_per_image: float
    events: tuple[str, ...]


def play(
    scene: Scene,
    *,
    seconds: float,
    fps: float,
    people: int,
    config: FaceTrackerConfig | None = None,
    progress: Callable[[float], None] | None = None,
) -> CrossingResult:
    """Run the face tracker on a scene and count.

    Parameters
    ----------
    scene
        The people.
    seconds, fps
        How long and how fast it is played, both > 0.
    people
        How many walk there.
    config
        Of the tracker.
    progress
        Told how much is done, 0..1.
    """
    score, spent_s, crossings = MotScore(), 0.0, 0
    ids: set[str] = set()
    hidden: set[str] = set()
    images = max(1, round(seconds * fps))
    with FaceTracker(config or FaceTrackerConfig(max_faces=10, horizontal_fov_deg=FOV_DEG)) as tracker:
        for i in range(images):
            image, truths = scene.at(i / fps)
            began = time.perf_counter()
            faces = tracker.update(Frame(image, i / fps)).faces
            spent_s += time.perf_counter() - began
            score.add(truths, {face.id: face.roi for face in faces})
            ids |= {face.id for face in faces}
            now = {truth.person for truth in truths if truth.visible < 0.4}
            crossings += len(now - hidden)
            hidden = now
            if progress is not None:
                progress((i + 1) / images)
        embeddings = tracker.embedding_runs
    return CrossingResult(
        seconds=images / fps,
        fps=fps,
        people=people,
        faces=score.wanted,
        missed=score.missed,
        false_faces=score.false,
        id_switches=score.switches,
        fragmentations=score.fragmentations,
        ids=len(ids),
        mota=1.0 - (score.missed + score.false + score.switches) / max(score.wanted, 1),
        overlap=score.overlap_sum / max(score.matched, 1),
        crossings=crossings,
        embeddings=embeddings,
        ms_per_image=1e3 * spent_s / images,
        events=tuple(f"{i / fps:.2f} s, {what}" for i, what in score.events),
    )


def evaluate_crossing(
    seconds: float = 60.0,
    fps: float = 15.0,
    seed: int = 1000,
    *,
    people: int = 3,
    recognise: bool = True,
    progress: Callable[[float], None] | None = None,
) -> CrossingResult:
    """Return what becomes of the ids of rendered people who walk past each other.

    Parameters
    ----------
    seconds, fps
        How long and how fast it is played, both > 0.
    seed
        Of the scene; the people are ``Person.random(seed)`` and the next ones. From 1000 on they have taken
        no part in any fit.
    people
        How many, 1..6.
    recognise
        False leaves ids to place and motion, for comparison.
    progress
        Told how much is done, 0..1.

    Raises
    ------
    ConfigError
        When a number is out of range.
    ModelFileError, EnvironmentProblem
        When a model, the people or the renderer is missing.
    """
    if not (0 < seconds <= 3600 and 0 < fps <= 120):
        raise ConfigError(f"seconds is {seconds}, fps {fps}: expected 0 to 3600 and 0 to 120")
    if not (1 <= people <= 6 and seed >= 0):
        raise ConfigError(f"people is {people}, seed {seed}: expected 1 to 6, and a seed from 0")
    config = FaceTrackerConfig(max_faces=10, horizontal_fov_deg=FOV_DEG, recognise=recognise)
    with RenderedScene(people, seed) as scene:
        return play(scene, seconds=seconds, fps=fps, people=people, config=config, progress=progress)
