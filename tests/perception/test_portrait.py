"""What a face looks like, whether two looks are of one person, and whether a look is good enough."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fabg.perception.embedding import colour_distance, colours
from fabg.perception.landmark import Reading
from fabg.perception.portrait import Gallery, Likeness, Portrait, View, compare, surest, traded
from fabg.perception.views import good_view, uncovered
from tests.perception.made_up_faces import mixed, reading, vector

# Portraits ---------------------------------------------------------------------------------------


def test_likeness_needs_an_embedding_and_agreeing_colours():
    assert Likeness(0.65, 5.0).same and not Likeness(0.65, 15.0).same
    assert Likeness(0.85, 20.0).same and not Likeness(0.85, 40.0).same
    assert not Likeness(None, 0.0).same and not Likeness(0.4, 0.0).same
    assert Likeness(0.85, None).same and not Likeness(0.65, None).same
    assert Likeness(0.1, 5.0).other and not Likeness(None, 50.0).other


def test_who_is_hardly_more_alike_than_the_next_is_nobody():
    assert surest({}) is None
    assert surest({"a": Likeness(0.8, 5.0)}) == "a"
    assert surest({"a": Likeness(0.8, 5.0), "b": Likeness(0.75, 6.0)}) is None
    assert surest({"a": Likeness(0.8, 5.0), "b": Likeness(0.75, 22.0)}) == "a"
    assert surest({"a": Likeness(0.45, 5.0)}) is None
    # Half covered clothes: the embedding alone is clear enough.
    assert surest({"a": Likeness(0.95, 16.0), "b": Likeness(0.6, 6.0)}) == "a"
    assert surest({"a": Likeness(0.95, 16.0), "b": Likeness(0.75, 9.5)}) is None


def test_a_portrait_compares_with_its_nearest_template():
    portrait = Portrait()
    portrait.learn(vector("ann"), 0.0)
    portrait.learn(vector("bob"), 1.0)
    assert compare(portrait, vector("bob"), None) == Likeness(1.0, None)
    assert compare(None, vector("bob"), None) == Likeness(None, None)


def test_a_portrait_keeps_its_first_template_and_few_others():
    portrait = Portrait()
    for name in ("ann", "bob", "cid", "dot", "bob", "cid"):
        portrait.learn(vector(name), 0.0)
    assert len(portrait.embeddings) == 4
    assert portrait.embeddings[0] @ vector("ann") == 1.0


def test_a_first_look_beside_somebody_is_replaced_by_one_in_plain_view():
    portrait = Portrait()
    portrait.learn(vector("ann"), 0.0, plain=False)
    assert portrait.provisional
    portrait.learn(vector("bob"), 1.0)
    portrait.learn(vector("cid"), 2.0, plain=False)
    assert not portrait.provisional
    assert [int(np.argmax(known)) for known in portrait.embeddings] == [1, 2]


def test_the_gallery_forgets_by_time_and_by_number():
    gallery = Gallery(remember_s=10.0, capacity=2)
    for i, name in enumerate("abc"):
        gallery.put(name, Portrait(), float(i))
    gallery.forget(3.0)
    assert set(gallery.portraits) == {"b", "c"}
    assert gallery.left_since(2.0) and not gallery.left_since(2.5)
    gallery.forget(11.5)
    assert set(gallery.portraits) == {"c"}
    gallery.clear()
    assert not gallery.portraits


def test_two_views_that_are_unclear_alone_tell_that_faces_are_exchanged():
    grey = np.full((6, 3), 50.0)
    ann, bob = Portrait([vector("ann")], grey), Portrait([vector("bob")], grey)
    like_bob = View(mixed(ann=0.62, bob=0.78), grey)  # cosines 0.62 and 0.78: no lead of 0.2
    like_ann = View(mixed(ann=0.85, bob=0.53), grey)
    assert surest({"a": like_bob.likeness(ann), "b": like_bob.likeness(bob)}) is None
    assert traded(ann, like_bob, bob, like_ann)
    assert not traded(bob, like_bob, ann, like_ann)  # as they are
    assert not traded(ann, like_bob, bob, like_bob)  # both are like one of them
    assert not traded(ann, like_bob, Portrait(), like_ann)  # nobody knows what the other one looks like


# Views -------------------------------------------------------------------------------------------


def spread(x: float, y: float = 200.0, size: float = 80.0) -> Reading:
    """A face whose eyes, nose and mouth are where they belong."""
    face = reading(x, y, size)
    for points, place in (((33, 133), -0.22), ((362, 263), 0.22), ((61,), -0.15), ((291,), 0.15)):
        face.landmarks[list(points), 0] = x + place * size
    return face


def test_a_nearer_head_covers_a_face_when_an_eye_is_behind_it():
    far, size = spread(200.0, size=60.0), 120.0
    touching = 200 + 0.22 * 60 + 1.05 * size / 2  # the oval ends at the outer eye
    for x, free in ((touching + 2, True), (touching - 2, False), (200.0, False)):
        near = spread(x, size=size)
        assert uncovered(far, [far, near]) is free
        assert uncovered(near, [far, near])


@pytest.mark.parametrize(
    ("face", "good"),
    [
        (reading(320), True),
        (reading(320, size=35), False),
        (reading(320, turn_deg=45), False),
        (reading(20), False),
    ],
)
def test_small_turned_and_cut_off_faces_are_no_good_views(face, good):
    assert good_view(face, (480, 640)) is good


# Colours -----------------------------------------------------------------------------------------


def test_colours_are_those_of_the_picture():
    image = np.zeros((480, 640, 3), dtype=np.uint8)
    image[:, :] = (255, 255, 255)
    image[100:320] = (255, 0, 0)
    # White is (100, 0, 0), red (53.2, 80.1, 67.2) in CIELAB (D65).
    np.testing.assert_allclose(colours(image, reading(320).landmarks)[1:], [(53.2, 80.1, 67.2)] * 5, atol=0.5)
    image[270:] = (255, 255, 255)
    np.testing.assert_allclose(colours(image, reading(320).landmarks)[4], (100, 0, 0), atol=0.5)


def test_colours_outside_the_image_are_unknown():
    lab = colours(np.full((480, 640, 3), 90, dtype=np.uint8), reading(320, y=420).landmarks)
    assert np.isnan(lab[4:]).all() and np.isfinite(lab[:4]).all()
    assert colour_distance(lab, lab) == 0.0
    nowhere = colours(np.full((20, 20, 3), 90, dtype=np.uint8), reading(320).landmarks)
    assert np.isnan(nowhere).all() and colour_distance(lab, nowhere) == math.inf


def test_colours_do_not_depend_on_size_and_little_on_light():
    rng = np.random.default_rng(0)
    small = rng.integers(60, 200, (8, 10, 3)).astype(np.uint8)
    image = np.kron(small, np.ones((60, 64, 1), dtype=np.uint8))
    a = colours(image, reading(320, size=160).landmarks)
    half = image[::2, ::2]
    b = colours(half, reading(160, y=100, size=80).landmarks)
    assert colour_distance(a, b) < 3.0
    darker = colours((image * 0.8).astype(np.uint8), reading(320, size=160).landmarks)
    other = colours(image[::-1, ::-1], reading(320, size=160).landmarks)
    assert colour_distance(a, darker) < 0.6 * colour_distance(a, other)
