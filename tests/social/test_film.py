"""A film says what happened, and can be read: nothing written is cut or covers anything else."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg.errors import CommandRefused, ConfigError, InputError
from fabg.expression import neutral
from fabg.perception.types import Side
from fabg.robot.gaze import look_at
from fabg.robot.model import load_robot
from fabg.robot.retarget import Retargeter
from fabg.social import film as film_module
from fabg.social import film_strip
from fabg.social.film import HEADER_H, PANEL, SIZE, STUDIO, Film, Painter, shortened
from fabg.social.film_strip import HEIGHT, Line, Strip, Track
from fabg.social.sight import SceneCamera
from fabg.social.stage import Stimulus
from fabg.strokes import GROUND, PERSON, ROBOT, width_of, write
from fabg.video import frames_at
from tests.social.scenes import hand, person, scene

RED = (255, 0, 0)
REST = load_robot().neutral
EPISODES = itertools.count()


@pytest.fixture(scope="module")
def painter():
    made = Painter("gesture", {"policy": "mirror", "delay": "60 ms"})
    yield made
    made.close()


def ask(target=(0.9, 0.0, 0.1), event=0, kind="smile", counted=True):
    return Stimulus(event, kind, 0.0, counted, np.array(target), np.zeros(52))


def near(image, colour, by=40):
    """Which pixels have about this colour."""
    return (np.abs(image.astype(int) - colour) <= by).all(axis=2)


def looking_at(point):
    robot = load_robot()
    return Retargeter(robot).targets(look_at(point, robot, head_share=0.5).into(neutral()))


# What is written ---------------------------------------------------------------------------------


def boxes_of(monkeypatch, draw):
    """Return the boxes (x0, y0, x1, y1) on the whole picture of all that `draw` writes, with the words."""
    found = []

    def noting(image, at, said, colour, points, **more):
        ink = np.zeros((200, 1400, 3), np.uint8)
        write(ink, (5, 5), said, (255, 255, 255), points)
        rows, columns = np.flatnonzero(ink.any((1, 2))) - 5, np.flatnonzero(ink.any((0, 2))) - 5
        offset = image.__array_interface__["data"][0]
        found.append((said, offset, image.strides[0], at, columns, rows, image.shape))
        write(image, at, said, colour, points, **more)

    with monkeypatch.context() as patch:
        for module in (film_module, film_strip):
            patch.setattr(module, "write", noting)
        picture = draw()
    start = picture.__array_interface__["data"][0]
    boxes = []
    for said, offset, stride, (x, y), columns, rows, shape in found:
        if stride != picture.strides[0]:
            continue  # scratch
        top, left = divmod(offset - start, stride)
        x0, y0 = round(x) + columns[0], round(y) + rows[0]
        x1, y1 = round(x) + columns[-1] + 1, round(y) + rows[-1] + 1
        assert x0 >= 0 and y0 >= 0 and x1 <= shape[1] and y1 <= shape[0], f"{said!r} is cut"
        boxes.append((said, x0 + left // 3, y0 + top, x1 + left // 3, y1 + top))
    return boxes


def assert_apart(boxes):
    for k, (one, a0, b0, a1, b1) in enumerate(boxes):
        for other, c0, d0, c1, d1 in boxes[k + 1 :]:
            assert a1 <= c0 or c1 <= a0 or b1 <= d0 or d1 <= b0, f"{one!r} lies on {other!r}"


@pytest.mark.parametrize(("gap_s", "most_deg"), [(0.1, 35), (0.5, 5), (3.0, 170)])
def test_nothing_written_is_cut_or_covers_anything(monkeypatch, gap_s, most_deg, painter):
    kinds = ["smile", "surprise", "hand", "face", "near", "far"]
    start_s = 100.0 * next(EPISODES)

    def draw():
        for k in range(300):
            t = 0.04 * k
            event = int(t / gap_s)
            turn = math.radians(most_deg) * math.sin(t)
            stimulus = ask(event=event, kind=kinds[event % 6])
            painter.note(start_s + t, {"gaze_target": turn, "gaze_robot": 0.8 * turn}, stimulus)
        return painter.picture(scene(person()), REST, 754.3, stimulus)

    boxes = boxes_of(monkeypatch, draw)
    words = [box[0] for box in boxes]
    assert {"partner", "robot", "12:34.3", "gaze yaw", "expression", "target", "asked", "expert"} <= set(
        words
    )
    assert_apart(boxes)


@settings(max_examples=50, deadline=None)
@given(st.text("abcdefgh /-WM", max_size=80), st.integers(0, 400))
def test_shortened_text_fits_and_keeps_both_ends(said, room):
    short = shortened(said, 14, room)
    assert width_of(short, 14) <= room
    if short and short != said:
        head, tail = short.split("...")[0], short.split("...")[-1]
        assert said.startswith(head)
        assert said.endswith(tail)
    if width_of(said, 14) <= room:
        assert short == said


# The pictures ------------------------------------------------------------------------------------


def test_the_ring_lies_on_the_target_and_the_dot_where_the_robot_looks(painter):
    """The target is the sellion: where it is in the image, the ground truth of the picture says."""
    stage = scene(person(at=(0.8, 0.15, 0.1)))
    with SceneCamera(PANEL, setting=STUDIO) as camera:
        (face,) = camera.picture(stage).faces
    u, v = camera.camera.fx * face.pose[:2, 3] / face.pose[2, 3] + [camera.camera.cx, camera.camera.cy]
    picture = painter.picture(stage, looking_at((0.8, 0.15, 0.1)), 1.0, ask((0.8, 0.15, 0.1)))
    panel = picture[HEADER_H : HEADER_H + 430, : PANEL[0]]  # above the legend
    panel[:60, :120] = 0
    for colour, least in ((PERSON, 60), (ROBOT, 25)):
        rows, columns = np.nonzero(near(panel, colour))
        assert len(rows) > least
        assert (columns.mean(), rows.mean()) == pytest.approx((u, v), abs=1.5)


def test_the_robot_is_on_the_right_and_follows_its_joints(painter):
    stage = scene(person())
    rest = painter.picture(stage, REST, 0.0)
    turned = painter.picture(stage, looking_at((0.8, 0.5, 0.1)), 0.0)
    assert rest.shape == (SIZE[1], SIZE[0], 3)
    assert rest.dtype == np.uint8
    changed = (rest != turned).any(axis=2)
    assert changed[:, PANEL[0] :].mean() > 0.01
    assert not changed[:, : PANEL[0] - 1].any()
    again = painter.picture(stage, REST, 0.0)
    np.testing.assert_array_equal(again, rest)


def test_a_smile_and_a_raised_hand_are_seen(painter):
    calm = painter.picture(scene(person()), REST, 0.0)
    stage = scene(
        person(hands=[hand(1003, (0.6, 0.25, 0.0), side=Side.RIGHT)], mouthSmileLeft=1, mouthSmileRight=1)
    )
    changed = (painter.picture(stage, REST, 0.0) != calm).any(axis=2)
    assert changed[:, : PANEL[0]].mean() > 0.02
    assert not changed[:, PANEL[0] + 1 :].any()


# The strip ---------------------------------------------------------------------------------------


def test_a_signal_is_drawn_at_its_time_and_height():
    """Known from 2 to 4 s of an 8 s window at a quarter of its scale: there it must be, and nowhere else."""
    track = Track("one", "of one", (Line("a", "a", RED, 2),), low=0.0, high=1.0, step=1.0)
    strip, width = Strip(1280, [track], 8.0), 1280
    for k in range(401):
        t = 0.02 * k
        strip.add(t, {"a": 0.25} if 2.0 <= t <= 4.0 else {})
    canvas = np.zeros((HEIGHT, width, 3), np.uint8)
    strip.draw(canvas)
    chart = canvas[:, 148 : 1280 - 128 + 1]  # between the scale and the legend
    rows, columns = np.nonzero(near(chart, RED, 90))
    per_s = (chart.shape[1] - 1) / 8.0
    assert (columns.min(), columns.max()) == pytest.approx((2 * per_s, 4 * per_s), abs=2)
    ground = near(canvas, (20, 28, 36), 2)[:, 148 + 20]
    top, bottom = np.flatnonzero(ground)[[0, -1]]
    assert rows.max() - rows.min() <= 3
    strip_middle = 42 + (168 - 42) * 0.75  # the chart's rows; pads are alike above and below
    assert rows.mean() == pytest.approx(strip_middle, abs=3)
    assert top < rows.mean() < bottom


def test_a_growing_scale_holds_all_values_and_a_fixed_one_never_moves():
    growing = Track("g", "", (Line("a", "a", RED),), -20.0, 20.0, 20.0, grows=True, factor=math.degrees(1.0))
    assert film_strip._widened(growing, (-20.0, 20.0), np.array([[45.0], [math.nan]])) == (-20.0, 60.0)
    assert film_strip._widened(growing, (-20.0, 60.0), np.array([[-21.0]])) == (-40.0, 60.0)
    fixed = Track("f", "", (Line("a", "a", RED),), 0.0, 1.0, 1.0)
    assert film_strip._widened(fixed, (0.0, 1.0), np.array([[3.0]])) == (0.0, 1.0)


def test_events_last_from_their_beginning_to_the_next():
    strip = Strip(1280, window_s=4.0)
    for k in range(201):
        t = 0.02 * k
        event, name = ((0, True), "smile") if 1.0 <= t < 2.0 else ((0, False), "")
        strip.add(t, {}, event, name)
    canvas = np.zeros((HEIGHT, 1280, 3), np.uint8)
    strip.draw(canvas)
    lane = canvas[14 + 18, 148 : 1280 - 128 + 1]
    filled = np.flatnonzero(np.abs(lane.astype(int) - film_strip._SPAN).max(axis=1) < 3)
    per_s = (len(lane) - 1) / 4.0
    assert (filled.min(), filled.max()) == pytest.approx((1.0 * per_s, 2.0 * per_s), abs=3)


def test_an_empty_strip_is_ground():
    canvas = np.zeros((HEIGHT, 1280, 3), np.uint8)
    Strip(1280).draw(canvas)
    assert (canvas == GROUND).all()


@pytest.mark.parametrize("window_s", [0.0, -1.0, math.nan, math.inf, 61.0])
def test_windows_out_of_range_are_refused(window_s):
    with pytest.raises(ConfigError, match="window_s"):
        Strip(1280, window_s=window_s)


def test_a_scale_without_range_is_refused():
    with pytest.raises(ConfigError, match="rising"):
        Track("t", "", (), 1.0, 1.0, 0.5)


# The file ----------------------------------------------------------------------------------------


def test_the_film_shows_each_tick_at_its_time(tmp_path, painter):
    import av

    out = tmp_path / "new" / "film.mp4"
    stage = scene(person())
    with Film(out, title="tracking", fps=25) as film:
        for k in range(7):  # ticks of 20 ms: each second one is due
            stage.time_s = 3.0 + 0.02 * k
            film.add(stage, REST, {"gaze_robot": 0.0}, ask())
        assert not out.exists(), "the film appears when it is finished"
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        times = [frame.pts * frame.time_base for frame in container.decode(stream)]
        assert (stream.width, stream.height) == SIZE == (1280, 720)
    assert times == [Fraction(k, 25) for k in range(4)]
    expected = painter.picture(stage, REST, 0.0, ask())
    (shown,) = frames_at(out, [0.0])
    panels = np.s_[HEADER_H : HEADER_H + PANEL[1]]
    assert np.abs(shown[panels].astype(int) - expected[panels]).mean() < 3
    assert list(out.parent.iterdir()) == [out]


def test_a_refused_tick_leaves_the_film_as_it_was(tmp_path):
    out = tmp_path / "film.mp4"
    stage = scene(person())
    with Film(out, title="t") as film:
        film.add(stage, REST, {})
        broken = scene(person(at=(math.nan, 0.0, 0.1)), time_s=0.04)
        with pytest.raises(InputError, match="finite"):
            film.add(broken, REST, {})
        later = scene(person(), time_s=0.04)
        with pytest.raises(CommandRefused, match="25"):
            film.add(later, np.zeros(24), {})
        with pytest.raises(CommandRefused):
            film.add(later, np.full(25, math.nan), {})
        with pytest.raises(InputError, match="grow"):
            film.add(stage, REST, {})
        film.add(later, REST, {})
    assert len(frames_at(out, [0.0, 0.04])) == 2
    with pytest.raises(InputError, match="closed"):
        film.add(later, REST, {})


def test_a_film_without_a_picture_leaves_nothing(tmp_path):
    with Film(tmp_path / "film.mp4", title="t"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_other_kinds_of_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="mp4"):
        Film(tmp_path / "film.gif", title="t")
