"""The simulated robot: 25 servos in MuJoCo, and a face that their measured positions deform.

    twin = Twin()
    twin.command(q)               # rad, shape (25,), order of the joint table
    twin.step(0.02)
    image = twin.render("face")   # RGB

Physics needs no graphics: the renderer opens at the first picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.errors import EnvironmentProblem, UsageError
from fabg.robot.face_shapes import FaceShapes
from fabg.robot.head_asset import load_head
from fabg.robot.links import load_links
from fabg.robot.mjcf import CAMERA_DROP_M, FACE_MESH, build_spec, servo_gains, set_gl_default, visible_face
from fabg.robot.model import BASE_LINK, HEAD_LINK, RobotModel, load_robot
from fabg.robot.skin import paint_skin
from fabg.robot.surface import NormalMap, Points

if TYPE_CHECKING:
    import mujoco

Quality = Literal["fast", "picture"]
Image = NDArray[np.uint8]
Vector = NDArray[np.float64]
Pose = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Position (3,) m and quaternion (x, y, z, w)."""

HEAD_ALIAS = "head_link"
"""The head's usual name in a URDF: fixed to the last neck link."""

_COLLAR_HOLD = 0.22
"""Neck weight below which the skin stays still, so that it does not slip through the collar."""


class Twin:
    """The robot in simulation.

    Parameters
    ----------
    robot
        Joint table; the package's own by default.
    size
        Width and height of the pictures (and the largest that can be asked for), pixels.
    quality
        "picture" smooths edges; "fast" does not, for live rendering.

    Raises
    ------
    ModelFileError
        When the head's mesh data are missing.
    ConfigError
        When the table does not fit the head (eyes elsewhere, a face joint missing).
    """

    def __init__(
        self,
        robot: RobotModel | None = None,
        *,
        size: tuple[int, int] = (640, 480),
        quality: Quality = "fast",
    ) -> None:
        if quality not in ("fast", "picture"):
            raise UsageError(f"quality is {quality!r}: expected 'fast' or 'picture'")
        if len(size) != 2 or not all(16 <= n <= 4096 for n in size):
            raise UsageError(f"size is {size}: expected (width, height) between 16 and 4096 pixels")
        set_gl_default()
        import mujoco

        self.robot = robot or load_robot()
        self.size = size
        self.quality = quality
        self.head = load_head()
        self._shapes = FaceShapes(self.robot, self.head)
        samples = 4 if quality == "picture" else 0
        spec = build_spec(self.robot, self.head, load_links(), size=size, samples=samples)
        self.model: mujoco.MjModel = spec.compile()
        self.data = mujoco.MjData(self.model)
        servo_gains(self.model, self.robot)
        self._qpos = np.array([self.model.joint(name).qposadr[0] for name in self.robot.names])
        self._dof = np.array([self.model.joint(name).dofadr[0] for name in self.robot.names])
        self._head_body = self.model.body(HEAD_LINK).id
        self._prepare_face()
        self._renderer: Any = None
        self._uploaded: Vector | None = None
        self._time_debt = 0.0
        self.reset()

    # -- motion ---------------------------------------------------------------------------------

    def reset(self) -> None:
        """Return to rest: every joint at its neutral position, still, and commanded to stay there."""
        import mujoco

        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self._qpos] = self.robot.neutral
        self.data.ctrl[:] = self.robot.neutral
        self._target = self.robot.neutral.copy()
        self._time_debt = 0.0
        mujoco.mj_forward(self.model, self.data)

    def command(self, positions: ArrayLike) -> None:
        """Set the servo targets (25,) rad; beyond the limits they are clipped, in speed as in angle.

        Raises
        ------
        CommandRefused
            For a wrong length or a value that is not finite; the targets stay as they were.
        """
        self._target = self._checked(positions)

    @property
    def target(self) -> Vector:
        """Commanded positions (25,) rad, within the limits."""
        return self._target.copy()

    def step(self, dt: float) -> None:
        """Advance physics by `dt` seconds; what does not fill a whole time step is kept for the next call."""
        import mujoco

        if not 0 <= dt <= 10.0:  # also refuses NaN
            raise UsageError(f"dt is {dt} s: expected 0 to 10")
        self._time_debt += dt
        steps = int(self._time_debt / self.model.opt.timestep + 1e-9)
        self._time_debt -= steps * self.model.opt.timestep
        reach = self.robot.max_velocity * self.model.opt.timestep
        for _ in range(steps):
            # A servo follows its target no faster than its rated speed.
            self.data.ctrl += np.clip(self._target - self.data.ctrl, -reach, reach)
            mujoco.mj_step(self.model, self.data)

    def positions(self) -> Vector:
        """Measured joint positions (25,) rad."""
        return self.data.qpos[self._qpos].copy()

    def velocities(self) -> Vector:
        """Measured joint velocities (25,) rad/s."""
        return self.data.qvel[self._dof].copy()

    def set_positions(self, positions: ArrayLike) -> None:
        """Place the joints (25,) rad without physics, to draw recorded states; clipped like commands."""
        import mujoco

        target = self._checked(positions)
        self.data.qpos[self._qpos] = target
        self.data.qvel[:] = 0.0
        self.data.ctrl[:] = target
        self._target = target
        mujoco.mj_forward(self.model, self.data)

    def link_poses(self) -> dict[str, Pose]:
        """Pose of every URDF link in base_link: name -> (position m, quaternion x, y, z, w)."""
        import mujoco

        mujoco.mj_kinematics(self.model, self.data)
        poses = {}
        for link in (BASE_LINK, *(joint.link for joint in self.robot.joints)):
            body = self.data.body(link)
            poses[link] = (body.xpos.copy(), np.roll(body.xquat, -1))
        poses[HEAD_ALIAS] = poses[HEAD_LINK]
        return poses

    def _checked(self, positions: ArrayLike) -> Vector:
        vector = self.robot.checked(positions, "joint command")
        return np.clip(vector, self.robot.lower, self.robot.upper)

    # -- the face -------------------------------------------------------------------------------

    def face_vertices(self) -> Points:
        """Position vertices (N, 3) m of head and neck in the head's frame, at the measured positions."""
        shaped = self.head.vertices + self._shapes.displacement(self.positions())
        return self._with_neck(shaped)

    def _with_neck(self, points: Points) -> Points:
        """Let the neck's skin turn by its share of the head's rotation, seen from the head."""
        import mujoco

        rotation = self.data.xmat[self._head_body].reshape(3, 3)
        quaternion, vector = np.empty(4), np.empty(3)
        mujoco.mju_mat2Quat(quaternion, rotation.ravel())
        mujoco.mju_quat2Vel(vector, quaternion, 1.0)
        angle = float(np.linalg.norm(vector))
        if angle < 1e-9:
            return points
        axis = (vector / angle).astype(np.float32)
        rows = self._neck_rows
        # Turning by w * angle in the base is turning by (w - 1) * angle in the head.
        turn = ((self._neck_share - 1.0) * angle)[:, None]
        neck = points[rows]
        cosine, sine = np.cos(turn), np.sin(turn)
        along = (neck @ axis)[:, None] * axis
        points[rows] = neck * cosine + np.cross(axis, neck) * sine + along * (1 - cosine)
        return points

    def _prepare_face(self) -> None:
        import mujoco

        triangles = self.head.position_of[self.head.triangles]
        self._normals = NormalMap(triangles, len(self.head.vertices))
        self._face = visible_face(self.head, paint_skin(self.head).uv)
        share = np.clip((self.head.neck_weight - _COLLAR_HOLD) / (1 - _COLLAR_HOLD), 0, 1)
        self._neck_rows = np.flatnonzero(share < 1)
        self._neck_share = share[self._neck_rows].astype(np.float32)

        model = self.model
        self._mesh = model.mesh(FACE_MESH).id
        first, count = model.mesh_vertadr[self._mesh], model.mesh_vertnum[self._mesh]
        first_normal, normals = model.mesh_normaladr[self._mesh], model.mesh_normalnum[self._mesh]
        if not count == normals == len(self._face.position):
            raise EnvironmentProblem(
                f"this MuJoCo {mujoco.__version__} stores {count} vertices and {normals} normals for a mesh "
                f"of {len(self._face.position)}: install mujoco 4.0"
            )
        self._vertex_rows = slice(first, first + count)
        self._normal_rows = slice(first_normal, first_normal + normals)
        # The compiler moves a mesh into its inertial frame; stored = (vertex - position) @ rotation.
        rotation = np.empty(9)
        mujoco.mju_quat2Mat(rotation, model.mesh_quat[self._mesh])
        self._mesh_rotation = rotation.reshape(3, 3).astype(np.float32)
        self._mesh_position = model.mesh_pos[self._mesh].astype(np.float32)

    def _shape_face(self) -> bool:
        """Write the face's vertices into the model; False when nothing has moved since the last time."""
        state = np.concatenate([self.positions(), self.data.xmat[self._head_body]])
        if self._uploaded is not None and np.array_equal(state, self._uploaded):
            return False
        points = self.face_vertices()
        normals = self._normals(points)
        rows = self._face.position
        self.model.mesh_vert[self._vertex_rows] = (points[rows] - self._mesh_position) @ self._mesh_rotation
        self.model.mesh_normal[self._normal_rows] = normals[rows] @ self._mesh_rotation
        self._uploaded = state
        return True

    # -- pictures -------------------------------------------------------------------------------

    def render(self, camera: str = "face", size: tuple[int, int] | None = None) -> Image:
        """Take a picture, RGB (height, width, 3).

        Parameters
        ----------
        camera
            "face" looks at the robot; "left_eye" and "right_eye" look out of it.
        size
            Width and height, pixels; the twin's own by default.

        Raises
        ------
        UsageError
            When there is no such camera.
        EnvironmentProblem
            When the machine cannot render; the message names the remedy.
        """
        self._look(camera)
        image = self._renderer.render()
        if size is not None and size != self.size:
            return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return image

    def depth(self, camera: str = "face") -> NDArray[np.float32]:
        """Distance along the optical axis, m, (height, width); the far plane where there is nothing."""
        self._look(camera)
        self._renderer.enable_depth_rendering()
        try:
            return self._renderer.render()
        finally:
            self._renderer.disable_depth_rendering()

    def place_camera(self, distance: float, *, right: float = 0.0, up: float = 0.0) -> None:
        """Move the `face` camera: metres from the point between the eyes, and off its axis."""
        if not 0.25 <= distance <= 5.0:
            raise UsageError(f"distance is {distance} m: expected 0.25 to 5")
        import mujoco

        eyes = self.head.eyes.mean(axis=0)
        self.model.cam_pos[self.model.camera("face").id] = eyes + np.array(
            [distance, right, up + CAMERA_DROP_M]
        )
        mujoco.mj_forward(self.model, self.data)

    @property
    def face_fov_deg(self) -> float:
        """Vertical field of view of the `face` camera, degrees."""
        return float(self.model.cam_fovy[self.model.camera("face").id])

    def close(self) -> None:
        """Release the renderer; physics stays usable."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def __enter__(self) -> Twin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look(self, camera: str) -> None:
        import mujoco

        names = [self.model.camera(i).name for i in range(self.model.ncam)]
        if camera not in names:
            raise UsageError(f"no camera {camera!r}: expected one of {', '.join(names)}")
        if self._renderer is None:
            self._renderer = _open_renderer(self.model, self.size)
            self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
            self._uploaded = None
        if self._shape_face():
            _upload_mesh(self._renderer, self.model, self._mesh)
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        self._renderer.update_scene(self.data, camera)


def _open_renderer(model: mujoco.MjModel, size: tuple[int, int]) -> Any:
    import mujoco

    try:
        return mujoco.Renderer(model, size[1], size[0])
    except Exception as error:  # the GL back ends raise whatever their library raises
        raise EnvironmentProblem(
            f"MuJoCo cannot open an offscreen GL context ({error}): on Debian or Ubuntu install "
            "`libegl1 libgl1 libgles2 libgl1-mesa-dri`, and leave MUJOCO_GL unset or set it to egl"
        ) from error


def _upload_mesh(renderer: Any, model: mujoco.MjModel, mesh: int) -> None:
    """Send a changed mesh to the GL context, which MuJoCo 4.0 keeps in private attributes."""
    import mujoco

    try:
        gl_context, render_context = renderer._gl_context, renderer._mjr_context
    except AttributeError as error:
        raise EnvironmentProblem(
            f"mujoco {mujoco.__version__} keeps its GL context elsewhere ({error}): install mujoco 4.0"
        ) from error
    if gl_context is not None:
        gl_context.make_current()
    mujoco.mjr_uploadMesh(model, render_context, mesh)
