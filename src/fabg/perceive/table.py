"""Measurements as Parquet tables: one row a face, a hand, an image; units and meanings in the schema.

    import pandas
    faces = pandas.read_parquet("faces.parquet")

A value that was not measured is null: the stage was off, or had nothing to say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.expression import SHAPES
from fabg.perceive.angles import head_deg, ray_deg
from fabg.perception.facs import action_units
from fabg.perception.scene import STAGES, Scene
from fabg.perception.types import EMOTIONS, ROBOT, DepthSource, Face, Hand, Side

LOOKS_AT_ROBOT = "robot"
"""What the column ``looks_at`` says when it is not a person."""

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    name
        Ends in the unit where there is one.
    kind
        ``number`` (float32), ``time`` (float64), ``count`` (int32), ``text``, ``flag``, or ``numbers``.
    unit
        ``s``, ``m``, ``px``, ``deg``, ``ms``; ``1`` for shares and components of unit vectors; else empty.
    text
        What it is.
    length
        How many ``numbers``.
    """

    name: str
    kind: str
    unit: str
    text: str
    length: int = 0


def _columns(*rows: tuple[str, str, str, str]) -> tuple[Column, ...]:
    return tuple(Column(*row) for row in rows)


def _vector(prefix: str, unit: str, text: str) -> tuple[Column, ...]:
    suffix = f"_{unit}" if unit == "m" else ""
    return tuple(Column(f"{prefix}{axis}{suffix}", "number", unit, f"{text}, {axis}") for axis in "xyz")


def reliable_units() -> tuple[int, ...]:
    """Return the action units that can be told from blendshapes."""
    _, confidence = action_units(np.zeros(len(SHAPES)))
    return tuple(int(unit) for unit in np.flatnonzero(confidence))


UNITS = reliable_units()

_WHEN = _columns(
    ("image", "count", "", "number of the image in the input, from 0"),
    ("stamp_s", "time", "s", "time of the image; 0 is the first image"),
)
IMAGES = (
    *_WHEN,
    *_columns(
        ("faces", "count", "", "faces in the image"),
        ("hands", "count", "", "hands in the image"),
        ("trouble", "text", "", "what was wrong with the image, or null"),
        *((f"{stage}_ms", "number", "ms", f"work of the stage {stage}") for stage in STAGES),
    ),
)
"""Columns of ``images.parquet``."""

FACES = (
    *_WHEN,
    *_columns(
        ("face_id", "text", "", "who; stays the same while the person is followed"),
        ("confidence", "number", "1", "of the detector when it last looked"),
        ("box_x_px", "number", "px", "left border of the face in the image"),
        ("box_y_px", "number", "px", "upper border of the face in the image"),
        ("box_width_px", "number", "px", "width of the face in the image"),
        ("box_height_px", "number", "px", "height of the face in the image"),
    ),
    *_vector("head_", "m", "point between the eyes in the camera's optical frame (right, down, forward)"),
    *_columns(
        ("distance_m", "number", "m", "from the camera to the point between the eyes"),
        ("depth_source", "text", "", "where the distance comes from: sensor, stereo, monocular, unknown"),
        ("head_yaw_deg", "number", "deg", "head, 0 facing the image plane, > 0 to the own left"),
        ("head_pitch_deg", "number", "deg", "head, > 0 down"),
        ("head_roll_deg", "number", "deg", "head, > 0 tilts to the own right"),
    ),
    *_vector("gaze_origin_", "m", "middle between the eyeballs in the camera's optical frame"),
    *_vector("gaze_", "1", "unit vector along the gaze in the camera's optical frame"),
    *_columns(
        ("gaze_yaw_deg", "number", "deg", "gaze, 0 against the camera's axis, > 0 to the own left"),
        ("gaze_pitch_deg", "number", "deg", "gaze, > 0 down"),
        ("eye_yaw_deg", "number", "deg", "eyes in the head, > 0 to the own left"),
        ("eye_pitch_deg", "number", "deg", "eyes in the head, > 0 down"),
        ("gaze_confidence", "number", "1", "0 while the eyes are closed"),
        ("closed_left", "number", "1", "how far the own left eye is closed"),
        ("closed_right", "number", "1", "how far the own right eye is closed"),
        ("blink", "flag", "", "a blink ended in this image"),
        ("looks_at", "text", "", "the id of a face, 'robot', or null for nobody"),
        ("engagement", "text", "", "unknown, disengaged, engaging, engaged, disengaging"),
        ("emotion", "text", "", "one of the seven basic emotions, or null when unsure"),
        ("emotion_confidence", "number", "1", "of that label; 0 when unsure"),
        *((f"p_{name}", "number", "1", f"probability of {name}") for name in EMOTIONS),
        ("valence", "number", "1", "-1 unpleasant to 1 pleasant"),
        ("arousal", "number", "1", "-1 calm to 1 excited"),
        ("smile", "number", "1", "intensity"),
        ("surprise", "number", "1", "intensity"),
        *((name, "number", "1", "ARKit blendshape; left is the own left") for name in SHAPES),
        *((f"au{unit:02d}", "number", "1", f"intensity of action unit {unit}") for unit in UNITS),
    ),
)
"""Columns of ``faces.parquet``."""

LANDMARKS = Column(
    "landmarks_px", "numbers", "px", "MediaPipe's 478 points: x, y in the image and relative z, in turn", 1434
)
"""Further column of ``faces.parquet``, on wish."""

HANDS = (
    *_WHEN,
    *_columns(
        ("hand_id", "text", "", "which; stays the same while the hand is followed"),
        ("face_id", "text", "", "whose, or null when unknown"),
        ("side", "text", "", "left, right (the owner's own), unknown"),
        ("confidence", "number", "1", "of the hand"),
        ("gesture", "text", "", "what the hand says, debounced; none for nothing"),
        ("gesture_confidence", "number", "1", "of that gesture"),
        ("extended", "flag", "", "held out to the robot"),
    ),
    *_vector("", "m", "middle of the palm in the camera's optical frame"),
    *_columns(
        ("distance_m", "number", "m", "from the camera to the middle of the palm"),
        ("depth_source", "text", "", "where the distance comes from: sensor, stereo, monocular, unknown"),
    ),
    *_vector("direction_", "1", "unit vector along a pointing finger in the camera's optical frame"),
    Column("joints_px", "numbers", "px", "MediaPipe's 21 joints: x, y in turn", 42),
    Column("joints_m", "numbers", "m", "the same in the camera's optical frame: x, y, z in turn", 63),
)
"""Columns of ``hands.parquet``."""

TABLES: Mapping[str, tuple[Column, ...]] = {"images": IMAGES, "faces": FACES, "hands": HANDS}
"""The tables by name."""


# Rows ------------------------------------------------------------------------------------------------


def face_rows(index: int, scene: Scene) -> Iterator[dict[str, Any]]:
    """Yield the rows of ``faces.parquet`` for image number `index`."""
    blinks = {blink.face_id for blink in scene.blinks}
    for face in scene.faces.faces:
        row = {"image": index, "stamp_s": scene.stamp_s, **_face(face)}
        if (gaze := scene.gaze(face.id)) is not None:
            row |= _xyz("gaze_origin_", "_m", gaze.origin) | _xyz("gaze_", "", gaze.direction)
            row["gaze_yaw_deg"], row["gaze_pitch_deg"] = ray_deg(gaze.direction)
            row["eye_yaw_deg"] = math.degrees(gaze.eye_yaw_rad)
            row["eye_pitch_deg"] = math.degrees(gaze.eye_pitch_rad)
            row["gaze_confidence"] = gaze.confidence
            row["closed_left"], row["closed_right"] = gaze.closed_left, gaze.closed_right
            row["blink"] = face.id in blinks
        target = scene.looks_at(face.id)
        row["looks_at"] = LOOKS_AT_ROBOT if target == ROBOT else target
        if (level := scene.engagement.get(face.id)) is not None:
            row["engagement"] = level.name.lower()
        if (emotion := scene.emotion(face.id)) is not None:
            row["emotion"], row["emotion_confidence"] = emotion.label or None, emotion.confidence
            row |= {f"p_{name}": p for name, p in zip(EMOTIONS, emotion.probabilities, strict=True)}
            row["valence"], row["arousal"] = emotion.valence, emotion.arousal
            row["smile"], row["surprise"] = emotion.smile, emotion.surprise
        yield row


def _face(face: Face) -> dict[str, Any]:
    yaw, pitch, roll = head_deg(face.pose)
    intensity, _ = action_units(face.blendshapes)
    position = face.pose[:3, 3]
    return {
        "face_id": face.id,
        "confidence": face.confidence,
        "box_x_px": face.roi.x,
        "box_y_px": face.roi.y,
        "box_width_px": face.roi.width,
        "box_height_px": face.roi.height,
        **_xyz("head_", "_m", position),
        "distance_m": float(np.linalg.norm(position)),
        "depth_source": DepthSource(face.depth_source).name.lower(),
        "head_yaw_deg": yaw,
        "head_pitch_deg": pitch,
        "head_roll_deg": roll,
        **dict(zip(SHAPES, face.blendshapes, strict=True)),
        **{f"au{unit:02d}": intensity[unit] for unit in UNITS},
        LANDMARKS.name: face.landmarks.ravel(),
    }


def hand_rows(index: int, scene: Scene) -> Iterator[dict[str, Any]]:
    """Yield the rows of ``hands.parquet`` for image number `index`."""
    for hand in scene.hands.hands if scene.hands else ():
        yield {"image": index, "stamp_s": scene.stamp_s, **_hand(hand)}


def _hand(hand: Hand) -> dict[str, Any]:
    direction = {} if hand.direction is None else _xyz("direction_", "", hand.direction)
    return {
        "hand_id": hand.id,
        "face_id": hand.person_id or None,
        "side": Side(hand.side).name.lower(),
        "confidence": hand.confidence,
        "gesture": hand.gesture.name.lower(),
        "gesture_confidence": hand.gesture_confidence,
        "extended": bool(hand.extended),
        **_xyz("", "_m", hand.position),
        "distance_m": float(np.linalg.norm(hand.position)),
        "depth_source": DepthSource(hand.depth_source).name.lower(),
        **direction,
        "joints_px": hand.landmarks_px.ravel(),
        "joints_m": hand.landmarks_m.ravel(),
    }


def image_row(index: int, scene: Scene) -> dict[str, Any]:
    """Return the row of ``images.parquet`` for image number `index`."""
    return {
        "image": index,
        "stamp_s": scene.stamp_s,
        "faces": len(scene.faces.faces),
        "hands": None if scene.hands is None else len(scene.hands.hands),
        "trouble": "; ".join(scene.trouble) or None,
        **{f"{stage}_ms": scene.timings_ms.get(stage) for stage in STAGES},
    }


def _xyz(prefix: str, suffix: str, vector: NDArray[np.float64]) -> dict[str, float]:
    return {f"{prefix}{axis}{suffix}": float(v) for axis, v in zip("xyz", vector, strict=True)}


# Files -----------------------------------------------------------------------------------------------


class TableWriter:
    """Writes rows to one Parquet file as they come; the file is whole after `close`."""

    def __init__(self, path: Path, columns: Sequence[Column], about: Mapping[str, Any]) -> None:
        import pyarrow
        from pyarrow import parquet

        self._arrow = pyarrow
        self._columns = columns
        self._schema = pyarrow.schema(
            [_field(column) for column in columns], metadata={"fabg": json.dumps(about)}
        )
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Add one row; columns without a value are null, values without a column are left out."""
        self._rows.append({column.name: row.get(column.name) for column in self._columns})
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._arrow.Table.from_pylist(self._rows, self._schema))
            self._rows.clear()

    def close(self) -> None:
        """Finish the file; harmless when done twice."""
        if self._writer.is_open:
            self._flush()
            self._writer.close()


def _field(column: Column) -> Any:
    import pyarrow

    kinds = {
        "number": pyarrow.float32(),
        "time": pyarrow.float64(),
        "count": pyarrow.int32(),
        "text": pyarrow.string(),
        "flag": pyarrow.bool_(),
        "numbers": pyarrow.list_(pyarrow.float32(), column.length or -1),
    }
    return pyarrow.field(
        column.name, kinds[column.kind], metadata={"unit": column.unit, "meaning": column.text}
    )


class Tables:
    """Writes the three tables of a run into a folder.

    Parameters
    ----------
    about
        What the measurements were made of and with; stored in each file under ``fabg`` as JSON.
    landmarks
        Also store the 478 points of each face.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], *, landmarks: bool = False) -> None:
        self._writers = {
            name: TableWriter(
                folder / f"{name}.parquet",
                (*columns, LANDMARKS) if name == "faces" and landmarks else columns,
                about,
            )
            for name, columns in TABLES.items()
        }

    def add(self, index: int, scene: Scene) -> None:
        """Add all that was measured in image number `index`."""
        self._writers["images"].add(image_row(index, scene))
        for row in face_rows(index, scene):
            self._writers["faces"].add(row)
        for row in hand_rows(index, scene):
            self._writers["hands"].add(row)

    def close(self) -> None:
        """Finish the files; harmless when done twice."""
        for writer in self._writers.values():
            writer.close()


def read_columns(path: Path) -> dict[str, NDArray[Any]]:
    """Return a table's columns by name; numbers that are null become NaN, texts that are null empty."""
    from pyarrow import parquet

    found: dict[str, NDArray[Any]] = {}
    table = parquet.read_table(path)
    for column in table.column_names:
        values = table[column]
        if str(values.type) in ("string", "large_string"):
            found[column] = np.array([value or "" for value in values.to_pylist()], dtype=object)
        elif str(values.type).startswith(("float", "double", "int")):
            found[column] = np.array(
                [math.nan if value is None else value for value in values.to_pylist()], dtype=np.float64
            )
        elif str(values.type) == "bool":
            found[column] = np.array([bool(value) for value in values.to_pylist()], dtype=bool)
    return found
