"""Other users of OpenGL in the process are left alone, and leave us alone."""

import threading

import numpy as np
import pytest

from fabg.social.avatar import Studio, gl
from tests.social.conftest import CAMERA, look

SCENE = """
<mujoco><visual><global offwidth="320" offheight="240"/></visual><worldbody>
<light pos="0 0 3"/><geom type="sphere" size="0.3" rgba="0.8 0.2 0.1 1"/>
<camera name="eye" pos="0 -2 0" xyaxes="1 0 0 0 0 1"/>
</worldbody></mujoco>
"""  # fmt: skip


@pytest.fixture
def sphere():
    from fabg.robot.mjcf import set_gl_default

    set_gl_default()
    import mujoco

    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = mujoco.Renderer(model, 240, 320)

    def take():
        renderer.update_scene(data, camera="eye")
        return renderer.render().copy()

    yield take
    renderer.close()


def test_mujoco_and_the_studio_draw_in_turns(sphere):
    first = sphere()
    assert first.max() > 50
    with Studio(CAMERA) as studio:
        expected = studio.render([look()], seed=1)
        for _ in range(3):
            np.testing.assert_array_equal(sphere(), first)
            np.testing.assert_array_equal(studio.render([look()], seed=1).image, expected.image)
    np.testing.assert_array_equal(sphere(), first)


def test_the_former_context_is_current_again(sphere):
    sphere()
    shared = gl.shared()
    before = shared.handles()
    assert before[-1] is not None, "MuJoCo's context is current"
    with Studio(CAMERA) as studio:
        studio.render([look()])
        assert shared.handles() == before
        with pytest.raises(RuntimeError), shared.current():
            raise RuntimeError
    assert shared.handles() == before


def test_two_studios_live_side_by_side():
    with Studio(CAMERA) as a, Studio(CAMERA, (320, 240)) as b:
        first = a.render([look(5)]).image
        small = b.render([look(6)]).image
        np.testing.assert_array_equal(a.render([look(5)]).image, first)
        np.testing.assert_array_equal(b.render([look(6)]).image, small)


def test_another_thread_may_draw():
    pictures = []
    with Studio(CAMERA) as studio:
        expected = studio.render([look(5)]).image
        thread = threading.Thread(target=lambda: pictures.append(studio.render([look(5)]).image))
        thread.start()
        thread.join(60)
    np.testing.assert_array_equal(pictures[0], expected)
