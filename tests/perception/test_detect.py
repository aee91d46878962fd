from __future__ import annotations

import cv2
import numpy as np
import pytest

from fabg.errors import ModelFileError
from fabg.perception.detect import FaceDetector
from fabg.perception.models import find_model
from tests.perception.conftest import scene


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


def test_one_person_is_one_detection_around_the_face(detector, portrait):
    (found,) = detector.detect(portrait)
    assert 0.6 <= found.score <= 1.0
    # The nose of this image stands at (327, 290).
    assert found.roi.x < 327 < found.roi.x + found.roi.width
    assert found.roi.y < 290 < found.roi.y + found.roi.height
    assert 130 < found.roi.width < 220


def test_two_people(detector, people):
    found = detector.detect(scene((people[0], 150, 240), (people[1], 480, 240)))
    assert len(found) == 2
    assert found[0].score >= found[1].score


def test_large_images_are_reduced_and_boxes_scaled_back(detector, portrait):
    (small,) = detector.detect(portrait)
    (large,) = detector.detect(cv2.resize(portrait, (1920, 1440)))
    for of in ("x", "y", "width", "height"):
        assert getattr(large.roi, of) == pytest.approx(3 * getattr(small.roi, of), abs=20)


@pytest.mark.parametrize("size", [(1, 1), (1, 640), (15, 200), (16, 16), (17, 33), (480, 640)])
def test_images_without_a_face_of_any_size(detector, size):
    assert detector.detect(np.full((*size, 3), 90, dtype=np.uint8)) == []


def test_a_higher_score_leaves_less(portrait):
    detector = FaceDetector(score=0.6)
    assert detector.detect(portrait)
    detector.score = 1.0
    assert detector.detect(portrait) == []


def test_an_altered_model_is_refused(tmp_path):
    broken = tmp_path / "yunet.onnx"
    broken.write_bytes(find_model("face_detection_yunet").read_bytes()[:-100])
    with pytest.raises(ModelFileError, match="SHA-256"):
        FaceDetector(model_path=broken)
