from __future__ import annotations

import numpy as np
import pytest

from fabg.errors import InputError, ModelFileError
from fabg.expression import INDEX
from fabg.perception.landmark import Landmarker
from fabg.perception.models import find_model
from fabg.perception.types import Roi

CROP = Roi(160, 120, 340, 340)


def test_a_face_is_read_in_full_image_pixels(landmarker, portrait):
    (reading,) = landmarker.read(portrait, CROP)
    assert reading.landmarks.shape == (478, 3) and reading.blendshapes.shape == (52,)
    assert reading.center == (329.5, 289.5)
    right_eye, left_eye = reading.landmarks[468, :2], reading.landmarks[473, :2]
    # Read off the image by eye: the person's left eye is on the right.
    assert np.hypot(*(right_eye - (292, 240))) < 15
    assert np.hypot(*(left_eye - (362, 240))) < 15


def test_where_the_crop_lies_changes_little(landmarker, portrait):
    (one,) = landmarker.read(portrait, CROP)
    (other,) = landmarker.read(portrait, Roi(130, 100, 380, 380))
    shift = np.hypot(*(one.landmarks - other.landmarks)[:, :2].T)
    assert np.median(shift) < 3.0  # of 160 px of face


def test_a_crop_over_the_border_is_read(landmarker, portrait):
    part = np.ascontiguousarray(portrait[150:, 200:])
    (reading,) = landmarker.read(part, Roi(CROP.x - 200, CROP.y - 150, 340, 340))
    assert np.hypot(*(reading.landmarks[468, :2] - (92, 90))) < 15


def test_no_face_is_an_empty_list(landmarker):
    assert landmarker.read(np.full((200, 200, 3), 128, dtype=np.uint8), Roi(0, 0, 200, 200)) == []


def test_a_read_only_image_is_fine(landmarker, portrait):
    image = portrait.copy()
    image.flags.writeable = False
    assert len(landmarker.read(image, Roi(0, 0, 640, 480))) == 1


def test_a_crop_outside_is_refused(landmarker, portrait):
    with pytest.raises(InputError, match="outside"):
        landmarker.read(portrait, Roi(700, 0, 100, 100))


def test_shapes_have_their_names(landmarker, clip):
    """Image 600 shows a closed mouth; the widest open mouth of the clip must differ in jawOpen."""
    jaw = [
        float(reading.blendshapes[INDEX["jawOpen"]])
        for image in clip[::20]
        for reading in landmarker.read(image, Roi(50, 0, 300, 300))
    ]
    assert min(jaw) < 0.05 and max(jaw) > 0.4


def test_tongue_is_never_reported(landmarker, portrait):
    (reading,) = landmarker.read(portrait, CROP)
    assert reading.blendshapes[INDEX["tongueOut"]] == 0.0


def test_a_failing_model_is_an_input_error(portrait, monkeypatch):
    with_error = Landmarker()

    class Task:
        def detect(self, image):
            raise RuntimeError("graph has errors")

        def close(self):
            self.closed = True

    real, task = with_error._task, Task()
    monkeypatch.setattr(with_error, "_task", task)
    with pytest.raises(InputError, match="graph has errors"):
        with_error.read(portrait, CROP)
    with_error.close()
    with_error.close()
    real.close()
    with pytest.raises(InputError, match="closed"):
        with_error.read(portrait, CROP)


def test_an_altered_model_is_refused(tmp_path):
    broken = tmp_path / "face.task"
    content = bytearray(find_model("face_landmarker").read_bytes())
    content[1000] ^= 1
    broken.write_bytes(content)
    with pytest.raises(ModelFileError, match="SHA-256"):
        Landmarker(model_path=broken)


def test_start_up_is_quiet(capfd, portrait):
    quiet = Landmarker()
    quiet.read(portrait, CROP)
    quiet.close()
    assert capfd.readouterr().err == ""
