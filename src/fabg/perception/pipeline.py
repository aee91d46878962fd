"""All of perception in one object, without ROS: images in, scenes out.

    with Pipeline(PipelineConfig(hands=None)) as pipeline:
        for scene in pipeline.stream(frames):
            print(scene.stamp_s, [face.id for face in scene.faces.faces], scene.engagement)

`Pipeline.update` takes one image through all stages. `Pipeline.stream` gives the same scenes for a series
of images and uses two cores: the faces of the next image are found while the hands of this one are read.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.perception.attention import AttentionConfig, AttentionTracker
from fabg.perception.blink import Blink, BlinkConfig, BlinkTracker
from fabg.perception.emotion import EmotionConfig, EmotionEstimator
from fabg.perception.engagement import EngagementConfig, EngagementTracker
from fabg.perception.face import FaceTracker, FaceTrackerConfig
from fabg.perception.gaze import GazeConfig, GazeEstimator
from fabg.perception.hand_config import HandTrackerConfig
from fabg.perception.hands import HandTracker
from fabg.perception.pose import Camera
from fabg.perception.roi import aligned
from fabg.perception.scene import STAGES, Scene
from fabg.perception.types import Emotion, Engagement, Face, Faces, Frame, Gaze, Hands, Look

__all__ = ["STAGES", "Parts", "Pipeline", "PipelineConfig", "Scene"]


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """Which stages work, and how.

    Attributes
    ----------
    faces
        How faces are found; this stage is always on.
    gaze
        How gaze is read; None switches gaze, attention, engagement and blinks off.
    attention, engagement, blink
        What counts as a look, as engaged, as a blink.
    emotion
        How emotion is read, and for what purpose; None, the default, switches it off: emotions are
        read only for a purpose that has been named (see `fabg.perception.purpose`).
    hands
        How hands are found; None switches them off.
    """

    faces: FaceTrackerConfig = field(default_factory=FaceTrackerConfig)
    gaze: GazeConfig | None = field(default_factory=GazeConfig)
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    engagement: EngagementConfig = field(default_factory=EngagementConfig)
    blink: BlinkConfig = field(default_factory=BlinkConfig)
    emotion: EmotionConfig | None = None
    hands: HandTrackerConfig | None = field(default_factory=HandTrackerConfig)

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that are on, in the order of `STAGES`."""
        return tuple(name for name in STAGES if getattr(self, name) is not None)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Parts to use instead of those that a `Pipeline` makes; it closes them."""

    faces: FaceTracker | None = None
    gaze: GazeEstimator | None = None
    emotion: EmotionEstimator | None = None
    hands: HandTracker | None = None


class Pipeline:
    """Faces, gaze, emotion and hands of one camera's images. Not thread-safe.

    Parameters
    ----------
    config
        Which stages work, and how.
    parts
        Parts to use instead of the pipeline's own.

    Raises
    ------
    ModelFileError
        When a model is missing or altered.
    ConfigError
        When emotion's purpose is refused.
    """

    def __init__(self, config: PipelineConfig | None = None, *, parts: Parts | None = None) -> None:
        self._config = config or PipelineConfig()
        self.camera: Camera | None = None
        """Calibration of the images to come; None takes the field of view of the faces' configuration."""
        parts = parts or Parts()
        self._faces = parts.faces or FaceTracker(self._config.faces)
        self._gaze, self._emotion, self._hands = parts.gaze, parts.emotion, parts.hands
        self._attention = AttentionTracker(self._config.attention)
        self._engagement = EngagementTracker(self._config.engagement)
        self._blinks = BlinkTracker(self._config.blink)
        try:
            self.configure(self._config)
        except BaseException:
            self.close()
            raise

    @property
    def config(self) -> PipelineConfig:
        """The configuration in force."""
        return self._config

    def configure(self, config: PipelineConfig) -> None:
        """Take another configuration from the next image on; where a stage stays on, tracks and ids stay.

        Raises
        ------
        ConfigError
            When emotion's purpose would change while the stage is on: switch it off in between.
        ModelFileError
            When a stage is switched on whose model is missing or altered.
        """
        before = self._config
        if config.faces != self._faces.config:
            self._faces.configure(config.faces)
        if config.gaze is None:
            self._gaze = None
        elif self._gaze is None:
            self._gaze = GazeEstimator(config.gaze)
        elif config.gaze != before.gaze:
            self._gaze.configure(config.gaze)
        if config.emotion is None:
            self._drop_emotion()
        elif self._emotion is None:
            self._emotion = EmotionEstimator(config.emotion)
        elif config.emotion != before.emotion:
            self._emotion.configure(config.emotion)
        if config.hands is None:
            self._drop_hands()
        elif self._hands is None:
            self._hands = HandTracker(config.hands)
        elif config.hands != before.hands:
            self._hands.configure(config.hands)
        self._attention.config, self._engagement.config = config.attention, config.engagement
        self._blinks.config = config.blink
        self._config = config

    def close(self) -> None:
        """Free the models; harmless when done twice. No image can follow."""
        self._faces.close()
        self._drop_emotion()
        self._drop_hands()

    def _drop_emotion(self) -> None:
        if self._emotion is not None:
            self._emotion.close()
            self._emotion = None

    def _drop_hands(self) -> None:
        if self._hands is not None:
            self._hands.close()
            self._hands = None

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, frame: Frame) -> Scene:
        """Return all that is seen in one image.

        Raises
        ------
        InputError
            When the image is not (height, width, 3) uint8, the stamp is not finite, or a model fails.
        """
        return self._rest(frame, *self._first(frame))

    def stream(self, frames: Iterable[Frame]) -> Iterator[Scene]:
        """Yield what `update` would return for each image, one image later, with two threads at work.

        What the caller does with a scene runs beside the work on the next one. `configure` must not be
        called meanwhile.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="pipeline") as pool:
            behind: Future[Scene] | None = None
            for frame in frames:
                first = self._first(frame)
                done = None if behind is None else behind.result()
                behind = pool.submit(self._rest, frame, *first)
                if done is not None:
                    yield done
            if behind is not None:
                yield behind.result()

    # The stages ----------------------------------------------------------------------------------

    def _first(self, frame: Frame) -> tuple[Faces, tuple[str, ...], float]:
        """Find the faces; return them, what was wrong with the image, and how long it took, ms."""
        begin_s = time.perf_counter()
        self._faces.camera = self.camera
        faces = self._faces.update(frame)
        return faces, self._faces.trouble, (time.perf_counter() - begin_s) * 1e3

    def _rest(self, frame: Frame, faces: Faces, trouble: tuple[str, ...], faces_ms: float) -> Scene:
        """Read what needs the faces."""
        timings_ms = {"faces": faces_ms}
        gazes: tuple[Gaze, ...] = ()
        blinks: tuple[Blink, ...] = ()
        looks: tuple[Look, ...] = ()
        engagement: dict[str, Engagement] = {}
        emotions: tuple[Emotion, ...] = ()
        hands: Hands | None = None
        last_s = time.perf_counter()

        def lap(stage: str) -> None:
            nonlocal last_s
            now_s = time.perf_counter()
            timings_ms[stage], last_s = (now_s - last_s) * 1e3, now_s

        camera = self.camera or Camera.from_fov(*faces.image_size, self._config.faces.horizontal_fov_deg)
        if self._gaze is not None:
            gazes = self._gaze.update(faces, camera)
            blinks = self._blinks.update(faces.stamp_s, gazes)
            looks = self._attention.update(faces, gazes)
            engagement = self._engagement.update(faces, gazes, looks)
            lap("gaze")
        if self._emotion is not None:
            emotions = self._emotion.update(faces, lambda face: _portrait(frame, face))
            lap("emotion")
        if self._hands is not None:
            self._hands.camera = camera
            hands = self._hands.update(frame, faces)
            lap("hands")
        return Scene(
            faces.stamp_s, faces, gazes, blinks, looks, engagement, emotions, hands, trouble, timings_ms
        )


def _portrait(frame: Frame, face: Face) -> NDArray[np.uint8] | None:
    try:
        return aligned(frame.image, face.landmarks)
    except InputError:
        return None  # seen from the side, both eyes on one point
