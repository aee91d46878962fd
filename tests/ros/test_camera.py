"""What nodes that read the camera share."""

from fabg.perception.face import FaceTrackerConfig
from fabg.perception.hand_config import HandTrackerConfig
from fabg.ros.camera import start_letters


def test_two_starts_have_different_ids():
    letters = {start_letters(1.7e9 + i) for i in range(5000)}
    assert len(letters) == 5000
    assert all(text.isalpha() and text.islower() and text.isascii() for text in letters)
    FaceTrackerConfig(id_prefix="f" + letters.pop())
    HandTrackerConfig(id_prefix="h" + letters.pop())
