"""``fabg perceive``: everything that is seen in a video, folder or camera, as video, tables, plots, report."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Literal

from rich.console import Console

from fabg.errors import ConfigError, FabgError, InputError
from fabg.page import PACKAGES, provenance
from fabg.perceive.film import Film, Painter
from fabg.perceive.plots import MOST_PEOPLE, draw_overview, draw_person
from fabg.perceive.report import write_report
from fabg.perceive.results import Results, read_results
from fabg.perceive.show import meter
from fabg.perceive.source import Described, describe, frames
from fabg.perceive.summary import summarise
from fabg.perceive.table import Tables
from fabg.perception.emotion import EmotionConfig
from fabg.perception.face import FaceTrackerConfig
from fabg.perception.hand_config import HandTrackerConfig
from fabg.perception.pipeline import Pipeline, PipelineConfig
from fabg.perception.scene import STAGES
from fabg.perception.types import Frame
from fabg.runs import RunFolder, stoppable

VIDEO = "perceive.mp4"
FACELESS = "no face was seen: name an input in which a face is at least 20 px wide and lit"
_MOST_TROUBLES = 5


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes
    ----------
    report
        Path of ``report.html``.
    ended
        ``whole``: the input came to its end, or to the time asked for; ``stopped``: by Ctrl-C or
        SIGTERM; ``failed``: perception broke off. All hold what was done until then.
    """

    report: Path
    ended: Literal["whole", "stopped", "failed"]


def run_perceive(
    input: str,
    out: Path | None = None,
    *,
    seconds: float | None = None,
    only: Sequence[str] | None = None,
    emotion: bool = True,
    purpose: str = "research",
    grounds: str = "",
    hide_people: bool = False,
    video: bool = True,
    landmarks: bool = False,
    fov_deg: float = 60.0,
    calibration: Path | None = None,
    max_faces: int = 4,
    max_hands: int = 4,
    fps: float = 25.0,
    console: Console | None = None,
    make: Callable[[PipelineConfig], Pipeline] = Pipeline,
) -> Outcome:
    """Work through an input, and write what was seen.

    Parameters
    ----------
    input
        As for `fabg.perception.sources.open_source`.
    out
        Folder of the results, new or empty; ``runs/<stamp>`` by default. It appears only when all is done.
    seconds
        Stop after so much time of the input, s; by default a file ends by itself, a camera on Ctrl-C.
    only
        Stages to work, of `STAGES`; faces always work.
    emotion
        False leaves emotion out; so does `only` without it.
    purpose, grounds
        What emotions are inferred for; see `fabg.perception.purpose`.
    hide_people
        Draw people as lines only: nothing of the images is kept.
    video
        False makes no video.
    landmarks
        Also store the 478 points of each face.
    fov_deg
        Field of view across the image, degrees, where there is no calibration.
    calibration
        YAML of one camera as ``camera_calibration`` writes it, or of two side by side as
        ``fabg camera calibrate`` does; the latter splits the images and measures depth.
    max_faces, max_hands
        So many are followed at once.
    fps
        Images a second of a folder, and the rate asked of a camera.
    console
        Where progress is shown; standard error by default.
    make
        Makes the pipeline.

    Raises
    ------
    InputError
        When the input cannot be used, or gives no image at all.
    ConfigError
        When `out` is not empty, a value is out of range, or the purpose is refused.
    KeyboardInterrupt
        On a second Ctrl-C; no file is left behind.
    """
    console = console or Console(stderr=True)
    config = _config(only, emotion, purpose, grounds, fov_deg, max_faces, max_hands)
    if seconds is not None and not seconds > 0.0:
        raise ConfigError(f"--seconds {seconds}: expected a time above 0")
    described = describe(input, fov_deg=fov_deg, calibration=calibration, fps=fps)
    settings = {
        "stages": list(config.stages),
        "purpose": str(config.emotion.permit) if config.emotion else None,
        "camera": vars(described.camera),
        "calibration": None if calibration is None else calibration.name,
        "max_faces": max_faces,
        "max_hands": max_hands,
        "hide_people": hide_people,
    }
    run = _Run(described, settings, console)
    with RunFolder(out) as folder, stoppable() as stopping:
        with make(config) as pipeline:
            pipeline.camera = described.camera
            tables = Tables(folder.partial, run.about, landmarks=landmarks)
            painter = Painter(
                described.name, described.size, described.camera,
                emotion=config.emotion is not None, hide_people=hide_people,
            )  # fmt: skip
            film = Film(folder.partial / VIDEO, painter, described.fps) if video else None
            run.work(pipeline, tables, film, seconds, stopping)
        if run.ended == "stopped" and not described.live:
            console.print(
                f"stopped after {run.done} images; what was done is kept. Ctrl-C again discards it.",
                highlight=False,
            )  # fmt: skip
        with console.status("plots and report"):
            run.write(folder.partial, folder.partial / VIDEO if video else None)
        final = folder.keep()
    for warning in run.warnings:
        console.print(f"[yellow]warning:[/] {warning}", highlight=False, soft_wrap=True)
    return Outcome(final / "report.html", run.ended)


def _config(
    only: Sequence[str] | None,
    emotion: bool,
    purpose: str,
    grounds: str,
    fov_deg: float,
    max_faces: int,
    max_hands: int,
) -> PipelineConfig:
    stages = set(STAGES if only is None else only)
    if unknown := sorted(stages - set(STAGES)):
        raise ConfigError(f"--only {', '.join(unknown)}: expected some of {', '.join(STAGES)}")
    config = PipelineConfig(
        faces=FaceTrackerConfig(max_faces=max_faces, horizontal_fov_deg=fov_deg),
        emotion=EmotionConfig(purpose=purpose, grounds=grounds) if emotion and "emotion" in stages else None,
        hands=HandTrackerConfig(max_hands=max_hands, horizontal_fov_deg=fov_deg)
        if "hands" in stages
        else None,
    )
    return config if "gaze" in stages else replace(config, gaze=None)


class _Run:
    """What happens, and what is known of it."""

    def __init__(self, described: Described, settings: dict[str, Any], console: Console) -> None:
        self.described, self.settings, self.console = described, settings, console
        self.warnings: list[str] = []
        self.ended: Literal["whole", "stopped", "failed"] = "whole"
        self.done = 0
        self.about = {
            "input": described.name,
            "image_size": list(described.size),
            "fps_input": round(described.fps, 3),
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "settings": settings,
            **provenance((*PACKAGES, "pyarrow", "ai-edge-litert")),
        }
        self._work_s = 0.0
        self._troubles: Counter[str] = Counter()

    def work(
        self, pipeline: Pipeline, tables: Tables, film: Film | None, seconds: float | None, stopping: Event
    ) -> None:
        """See the input through, or as far as it goes."""
        total = self.described.images
        if seconds is not None:
            wanted = round(seconds * self.described.fps)
            total = wanted if total is None else min(total, wanted)
        waiting: deque[Frame] = deque()  # images whose scene is still to come
        begin_s = time.monotonic()
        try:
            with meter(self.console, self.described.name, total) as shown:
                for scene in pipeline.stream(self._taken(waiting, seconds, stopping)):
                    frame = waiting.popleft()
                    tables.add(self.done, scene)
                    if film is not None:
                        film.add(self.done, frame.image, scene)
                    self.done += 1
                    self._troubles.update(scene.trouble)
                    shown.update(self.done, len(scene.faces.faces))
        except Exception as error:  # hours of measurements must not be lost to one image
            if not self.done:
                raise
            if not isinstance(error, FabgError):
                self.console.print_exception()
            self.ended = "failed"
            said = str(error) or type(error).__name__
            self.warnings.append(f"perception broke off after {self.done} images: {said}")
        finally:
            tables.close()
            if film is not None:
                film.close()
        self._work_s = time.monotonic() - begin_s
        if not self.done:
            raise InputError(
                f"{self.described.name} gave no image: look at it with another program, or name another"
            )

    def _taken(self, waiting: deque[Frame], seconds: float | None, stopping: Event) -> Iterator[Frame]:
        for frame in frames(self.described, self.warnings):
            if stopping.is_set():
                # A camera has no other end.
                self.ended = "whole" if self.described.live else "stopped"
                return
            if seconds is not None and frame.stamp_s >= seconds:
                return
            waiting.append(frame)
            yield frame

    def write(self, folder: Path, video: Path | None) -> None:
        """Write summary, plots and report into `folder`."""
        results = read_results(folder, self.described.fps)
        if not results.people:
            self.warnings.append(FACELESS)
        for trouble, count in self._troubles.most_common(_MOST_TROUBLES):
            self.warnings.append(f"{count} {'image' if count == 1 else 'images'}: {trouble}")
        summary = {
            **self.about,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "ended": self.ended,
            "speed_fps": round(self.done / max(self._work_s, 1e-6), 2),
            **summarise(results),
            "warnings": self.warnings,
        }
        (folder / "summary.json").write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")
        write_report(summary, folder, plots=list(_plots(results, folder / "plots")), video=video)


def _plots(results: Results, folder: Path) -> Iterable[tuple[str, Path]]:
    folder.mkdir()
    path = folder / "overview.png"
    draw_overview(results, path)
    yield "Everybody", path
    longest = sorted(results.people, key=lambda person: -len(person.t))[:MOST_PEOPLE]
    for person in results.people:
        if person in longest:
            path = folder / f"{person.id}.png"
            draw_person(person, results, path)
            yield person.id, path
