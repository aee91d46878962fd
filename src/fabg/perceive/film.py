"""The annotated video: drawn and encoded in a thread of its own, beside perception."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

import numpy as np

from fabg.errors import EnvironmentProblem
from fabg.perceive.cards import WIDTH, column
from fabg.perceive.overlay import PEOPLE, View, draw
from fabg.perception.pictures import Size
from fabg.perception.pose import Camera
from fabg.perception.scene import Scene
from fabg.strokes import Colour, Picture
from fabg.video import VideoWriter, frame_rate, join

HEIGHT = 720
"""Height of the video, px."""
_NARROWEST, _WIDEST = 480, 1280
_WAITING = 8

_Item = tuple[int, Picture, Scene]


class Painter:
    """Draws scenes side by side with their cards.

    Parameters
    ----------
    name
        Of the input.
    image_size
        (width, height) of the images, px.
    camera
        Of the images.
    emotion
        Whether emotion is read.
    hide_people
        Draw people as lines only: nothing of the image is used.
    """

    def __init__(
        self, name: str, image_size: Size, camera: Camera, *, emotion: bool, hide_people: bool = False
    ) -> None:
        width = min(max(HEIGHT * image_size[0] / image_size[1], _NARROWEST), _WIDEST)
        self._view = View(image_size, (round(width) // 2 * 2, HEIGHT), camera)
        self._name, self._emotion, self._hide_people = name, emotion, hide_people
        self._colours: dict[str, Colour] = {}

    @property
    def size(self) -> Size:
        """(width, height) of the pictures, px, both even."""
        return self._view.size[0] + WIDTH, HEIGHT

    def picture(self, index: int, image: Picture, scene: Scene) -> Picture:
        """Return the picture of image number `index`."""
        for face in scene.faces.faces:
            self._colours.setdefault(face.id, PEOPLE[len(self._colours) % len(PEOPLE)])
        panel = draw(image, scene, self._view, self._colours, hide_people=self._hide_people)
        cards = column(
            scene, HEIGHT, self._colours, time_s=scene.stamp_s, index=index, name=self._name, emotion=self._emotion
        )  # fmt: skip
        return np.hstack([panel, cards])


class Film:
    """Writes the annotated video while perception goes on.

    Parameters
    ----------
    path
        Where the video will be.
    fps
        Rate of the input; each picture is shown at the time of its image.
    """

    def __init__(self, path: Path, painter: Painter, fps: float) -> None:
        self._path, self._painter = path, painter
        self._rate = frame_rate(fps, most=1000.0)
        self._pieces = path.with_name(f".{path.name}")
        self._writer = VideoWriter(self._pieces, painter.size, self._rate)
        self._queue: queue.Queue[_Item | None] = queue.Queue(_WAITING)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="film", daemon=True)
        self._thread.start()

    def add(self, index: int, image: Picture, scene: Scene) -> None:
        """Add a picture; waits when the film cannot keep up.

        Raises
        ------
        EnvironmentProblem
            When an earlier picture could not be written.
        """
        self._check()
        self._queue.put((index, image, scene))

    def close(self) -> None:
        """Finish the video: it appears under its name only now, and not at all without a picture."""
        self._queue.put(None)
        self._thread.join()
        self._writer.close()
        self._check()
        if self._pieces.exists():
            join([self._pieces], self._path, self._rate)
            self._pieces.unlink()

    def _check(self) -> None:
        if isinstance(self._failure, OSError):
            raise EnvironmentProblem(
                f"the video {str(self._path)!r} cannot be written ({self._failure}): is the disk full?"
            ) from self._failure
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._failure is None:
                try:
                    self._writer.add(self._painter.picture(*item), item[2].stamp_s)
                except BaseException as error:  # told by the next `add` or `close`
                    self._failure = error
