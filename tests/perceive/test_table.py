"""Tables hold what was measured, name their units, and keep nulls apart from zeros."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from pyarrow import parquet

from fabg.expression import SHAPES
from fabg.perceive.results import read_results
from fabg.perceive.spans import shares, spans
from fabg.perceive.summary import summarise
from fabg.perceive.table import FACES, HANDS, LANDMARKS, TABLES, Tables
from fabg.perception.blink import Blink
from fabg.perception.types import EMOTIONS, ROBOT, Emotion, Engagement, Gaze, Gesture, Look, Side
from tests.perceive.people import face, hand, scene

FPS = 20.0


def _scene(k):
    """Two people: f1 is seen throughout and looks at the robot from image 10 on, f2 from image 20 to 29."""
    stamp_s = k / FPS
    people = [face("f1", (0.1, -0.05, 1.0 + 0.01 * k), (0.02 * k, 0.1, -0.05))]
    if 20 <= k < 30:
        people.append(face("f2", (-0.3, 0.0, 1.5)))
    ray = np.array([0.6, 0.0, -0.8])
    return scene(
        stamp_s,
        people,
        [
            hand(
                "h1",
                (0.2, 0.2, 0.6),
                "f1",
                gesture=Gesture.WAVE if k % 20 < 10 else Gesture.NONE,
                side=Side.LEFT,
            )
        ],
        gazes=tuple(Gaze(f.id, f.pose[:3, 3], ray, 0.1, -0.2, 0.3, 0.4, 0.9) for f in people),
        blinks=(Blink("f1", stamp_s - 0.15, 0.15),) if k == 7 else (),
        looks=(Look("f1", ROBOT if k < 30 else "f2"),) if k >= 10 else (),
        engagement={f.id: Engagement.ENGAGED if k >= 20 else Engagement.DISENGAGED for f in people},
        emotions=(Emotion("f1", "happy" if k < 30 else "", 0.8, np.arange(7) / 21, 0.5, -0.25, 0.75, 0.125),),
        timings_ms={"faces": 10.0, "gaze": 0.5, "emotion": 1.0, "hands": 5.0 + k},
        trouble=("dark image", "two images have one stamp") if k == 3 else (),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables")
    tables = Tables(path, {"input": "talk.mp4"}, landmarks=True)
    for k in range(40):
        tables.add(k, _scene(k))
    tables.close()
    tables.close()
    return path


def test_every_measurement_is_read_back(folder):
    rows = parquet.read_table(folder / "faces.parquet").to_pylist()
    assert [(r["image"], r["face_id"]) for r in rows] == [
        (k, f.id) for k in range(40) for f in _scene(k).faces.faces
    ]
    for row in rows:
        seen = _scene(row["image"])
        one = seen.face(row["face_id"])
        assert row["stamp_s"] == seen.stamp_s, "to the last bit"
        assert [row[f"head_{a}_m"] for a in "xyz"] == pytest.approx(list(one.pose[:3, 3]))
        assert row["distance_m"] == pytest.approx(math.dist((0, 0, 0), one.pose[:3, 3]))
        assert [row[name] for name in SHAPES] == pytest.approx(list(one.blendshapes))
        assert row[LANDMARKS.name] == pytest.approx(list(one.landmarks.ravel()), rel=1e-5)
        assert [row[f"gaze_{a}"] for a in "xyz"] == pytest.approx([0.6, 0.0, -0.8])
        assert (row["gaze_yaw_deg"], row["gaze_pitch_deg"]) == pytest.approx(
            (math.degrees(math.atan2(0.6, 0.8)), 0.0)
        )
        assert (row["eye_yaw_deg"], row["eye_pitch_deg"]) == pytest.approx(
            (math.degrees(0.1), math.degrees(-0.2))
        )
        assert (row["closed_left"], row["closed_right"]) == pytest.approx((0.3, 0.4))
        assert row["depth_source"] == "monocular"
    first = [r for r in rows if r["face_id"] == "f1"]
    assert [r["head_yaw_deg"] for r in first] == pytest.approx(
        [math.degrees(0.02 * k) for k in range(40)], abs=1e-3
    )
    assert [r["looks_at"] for r in first] == [None] * 10 + ["robot"] * 20 + ["f2"] * 10
    assert [r["engagement"] for r in first] == ["disengaged"] * 20 + ["engaged"] * 20
    assert [r["emotion"] for r in first] == ["happy"] * 30 + [None] * 10
    assert [r["blink"] for r in first] == [k == 7 for k in range(40)]
    assert [first[0][f"p_{name}"] for name in EMOTIONS] == pytest.approx([k / 21 for k in range(7)])
    assert [first[0][n] for n in ("valence", "arousal", "smile", "surprise")] == [0.5, -0.25, 0.75, 0.125]
    second = [r for r in rows if r["face_id"] == "f2"]
    assert all(r["valence"] is None and r["emotion"] is None for r in second), "nothing said is not zero"


def test_hands_and_images_are_read_back(folder):
    hands = parquet.read_table(folder / "hands.parquet").to_pylist()
    assert [r["gesture"] for r in hands] == ["wave" if k % 20 < 10 else "none" for k in range(40)]
    one = _scene(0).hands.hands[0]
    assert hands[0]["joints_m"] == pytest.approx(list(one.landmarks_m.ravel()))
    assert hands[0]["joints_px"] == pytest.approx(list(one.landmarks_px.ravel()), rel=1e-6)
    assert (hands[0]["side"], hands[0]["face_id"], hands[0]["direction_x"]) == ("left", "f1", None)
    images = parquet.read_table(folder / "images.parquet").to_pylist()
    assert [r["stamp_s"] for r in images] == [k / FPS for k in range(40)]
    assert [r["faces"] for r in images] == [2 if 20 <= k < 30 else 1 for k in range(40)]
    assert images[9]["hands_ms"] == 14.0
    assert images[3]["trouble"] == "dark image; two images have one stamp" and images[4]["trouble"] is None


def test_the_schema_says_what_a_column_means(folder):
    for name, columns in TABLES.items():
        schema = parquet.read_schema(folder / f"{name}.parquet")
        assert json.loads(schema.metadata[b"fabg"]) == {"input": "talk.mp4"}
        for column in columns:
            about = schema.field(column.name).metadata
            assert about[b"unit"].decode() == column.unit and about[b"meaning"].decode()


def test_units_are_in_the_names():
    for column in (*FACES, *HANDS):
        unit = re.search(r"_(px|m|deg|s|ms)$", column.name)
        assert (unit.group(1) if unit else "") == (column.unit if column.unit != "1" else ""), column.name
    assert len({column.name for column in FACES}) == len(FACES)


def test_an_empty_run_has_tables_too(tmp_path):
    tables = Tables(tmp_path, {})
    tables.add(0, scene())
    tables.close()
    results = read_results(tmp_path, 25.0)
    assert results.people == () and results.strangers == ()
    summary = summarise(results)
    assert summary["images"] == {"worked": 1, "with_face": 0, "with_hand": 0, "most_faces": 0}
    assert summary["duration_s"] == 0.04
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


# From tables to numbers ------------------------------------------------------------------------------


def test_the_summary_counts_what_happened(folder):
    results = read_results(folder, FPS)
    summary = summarise(results)
    json.dumps(summary, allow_nan=False)
    assert summary["duration_s"] == pytest.approx(2.0)
    assert summary["images"] == {"worked": 40, "with_face": 40, "with_hand": 40, "most_faces": 2}
    assert summary["stages_ms"]["hands"]["p50"] == pytest.approx(24.5)
    first, second = summary["people"]
    assert (first["id"], first["images"], first["first_s"], first["last_s"]) == ("f1", 40, 0.0, 1.95)
    assert (second["images"], second["first_s"], second["last_s"]) == (10, 1.0, 1.45)
    assert first["looks_at"] == pytest.approx({"robot": 0.5, "nobody": 0.25, "f2": 0.25})
    assert first["engagement"] == pytest.approx({"disengaged": 0.5, "engaged": 0.5})
    assert first["emotion"] == pytest.approx({"happy": 0.75, "unsure": 0.25})
    assert first["blinks"] == {"count": 1, "per_minute": 30.0}
    assert first["smile"] == {"mean": 0.75, "sd": 0.0, "p5": 0.75, "p95": 0.75}
    (one,) = first["hands"]
    assert one["gestures"] == {"wave": {"times": 2, "seconds": 1.0}}
    assert "emotion" not in second


def test_stretches_end_where_images_are_missing():
    images = np.array([0, 1, 2, 5, 6, 7])
    times = images / 10.0
    parts = spans(images, times, ["a", "a", "b", "b", "b", "a"], 0.1)
    assert [(p.label, p.images) for p in parts] == [("a", 2), ("b", 1), ("b", 2), ("a", 1)]
    assert [(p.start_s, p.end_s) for p in parts] == [
        pytest.approx(span) for span in ((0.0, 0.2), (0.2, 0.3), (0.5, 0.7), (0.7, 0.8))
    ]
    assert shares(parts) == pytest.approx({"a": 0.5, "b": 0.5})
    assert spans(np.array([]), np.array([]), [], 0.1) == [] and shares([]) == {}
