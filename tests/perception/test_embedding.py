"""The identity model on real images of one person."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fabg.errors import InputError
from fabg.perception.embedding import FaceEmbedder
from fabg.perception.landmark import Landmarker
from fabg.perception.types import Roi

CROP = Roi(50, 0, 300, 300)


@pytest.fixture(scope="module")
def embedder() -> FaceEmbedder:
    return FaceEmbedder()


def embed(embedder: FaceEmbedder, landmarker: Landmarker, image: np.ndarray) -> np.ndarray | None:
    (found,) = landmarker.read(image, CROP)
    return embedder.embed(image, found.landmarks)


def test_one_person_is_alike_in_all_moments(embedder, landmarker, clip):
    vectors = np.array([embed(embedder, landmarker, clip[i]) for i in range(0, 1300, 200)])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert (vectors @ vectors.T).min() > 0.6


def test_a_tilted_head_is_aligned(embedder, landmarker, clip):
    turned = cv2.warpAffine(clip[300], cv2.getRotationMatrix2D((200, 150), 25, 0.9), (400, 300))
    assert embed(embedder, landmarker, clip[300]) @ embed(embedder, landmarker, turned) > 0.85


def test_a_blurred_face_says_nothing(embedder, landmarker, clip):
    (found,) = landmarker.read(clip[300], CROP)
    assert embedder.embed(cv2.GaussianBlur(clip[300], (0, 0), 8), found.landmarks) is None


def test_points_on_one_place_are_refused(embedder, clip):
    with pytest.raises(InputError, match="one place"):
        embedder.embed(clip[0], np.full((478, 3), 100.0))
    with pytest.raises(InputError, match="one place"):
        embedder.embed(clip[0], np.full((478, 3), np.nan))
