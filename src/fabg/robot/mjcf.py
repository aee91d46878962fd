"""Build the MuJoCo model of the robot from its joint table and head."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fabg.errors import ConfigError
from fabg.robot.costume import COVERED_CAP_M, COVERED_COLLAR_M, Part, cap_depth, collar_depth, dress
from fabg.robot.head_asset import MATERIALS, HeadAsset
from fabg.robot.links import LinkTable
from fabg.robot.model import BASE_LINK, HEAD_LINK, Joint, RobotModel
from fabg.robot.skin import eye_texture, paint_skin
from fabg.robot.surface import Mesh, NormalMap, Points, Triangles, sphere

if TYPE_CHECKING:
    import mujoco

TIMESTEP_S = 0.002
FACE_MESH = "face"
FACE_CAMERA_M = 0.62
"""Distance of the `face` camera from the point between the eyes."""
CAMERA_DROP_M = -0.035
"""Height of the `face` camera over the eyes: below them, so that head and collar share the picture."""

SERVO_BANDWIDTH_RAD_S = {"neck": 45.0, "eyes": 110.0, "face": 90.0}
"""Natural frequency of each group's position loop; damping is critical, so it never overshoots."""

GEARING = {"neck": 1.0, "eyes": 20.0, "face": 20.0}
"""Inertia of rotor and gears, seen at the horn, over the link's own: small servos are mostly gearbox,
which is why a jerk of the head does not swing the eyes."""

EYE_SCALE = 0.985  # the eyeball must not show through the lid


@dataclass(frozen=True)
class FaceMesh:
    """The part of the head that deforms: what is left of it between cap and collar."""

    position: NDArray[np.intp]  # (V,) position vertex of the asset for each mesh vertex
    triangles: Triangles  # (F, 3) mesh vertices
    uv: NDArray[np.float32]  # (V, 2)


def visible_face(head: HeadAsset, uv: NDArray[np.float32]) -> FaceMesh:
    """Drop the skin that cap and garment hide."""
    hidden = (cap_depth(head) > COVERED_CAP_M) | (collar_depth(head) > COVERED_COLLAR_M)
    skin = head.material == MATERIALS.index("skin")
    buried = hidden[head.position_of[head.triangles]].all(axis=1) & skin
    used, inverse = np.unique(head.triangles[~buried], return_inverse=True)
    return FaceMesh(head.position_of[used].astype(np.intp), inverse.reshape(-1, 3).astype(np.int32), uv[used])


def build_spec(
    robot: RobotModel, head: HeadAsset, links: LinkTable, *, size: tuple[int, int], samples: int
) -> Any:
    """Return the uncompiled `mujoco.MjSpec`.

    Parameters
    ----------
    size
        Largest picture (width, height) that will be rendered, pixels.
    samples
        Multi-sampling of offscreen pictures; 0 for none.

    Raises
    ------
    ConfigError
        When the table's eyes lie more than 5 mm from the mesh's.
    """
    import mujoco

    _check_eyes(robot, head)
    spec = mujoco.MjSpec()
    spec.modelname = robot.name
    spec.compiler.degree = False
    spec.compiler.balanceinertia = True
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.gravity = [
        0,
        0,
        0,
    ]  # the servos hold the head's weight; sagging gains would only blur the model
    spec.stat.extent, spec.stat.center = 1.0, [0.0, 0.0, 0.05]
    spec.visual.map.znear, spec.visual.map.zfar = 0.01, 30.0
    spec.visual.global_.offwidth, spec.visual.global_.offheight = size
    spec.visual.quality.offsamples = samples

    bodies = {BASE_LINK: spec.worldbody.add_body(name=BASE_LINK)}
    for joint in robot.joints:
        bodies[joint.link] = _add_joint(spec, bodies[joint.parent], joint, links)
    _add_looks(spec, bodies, robot, head)
    _add_lights(spec)
    _add_cameras(spec, bodies, robot)
    return spec


def servo_gains(model: mujoco.MjModel, robot: RobotModel) -> None:
    """Give each position actuator the stiffness and critical damping of its group's bandwidth.

    The inertia that a servo feels is read from the compiled model, so gains follow the link table.
    """
    import mujoco

    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, inertia)
    for joint in robot.joints:
        actuator = model.actuator(joint.name).id
        felt = inertia.diagonal()[model.joint(joint.name).dofadr[0]]
        omega = SERVO_BANDWIDTH_RAD_S[joint.group]
        model.actuator_gainprm[actuator, 0] = felt * omega**2
        model.actuator_biasprm[actuator, 1] = -felt * omega**2
        model.actuator_biasprm[actuator, 2] = -2.0 * felt * omega


def _check_eyes(robot: RobotModel, head: HeadAsset) -> None:
    for side, centre in zip(("left", "right"), head.eyes, strict=True):
        joint = robot[f"eye_{side}_yaw"]
        gap = float(np.linalg.norm(np.array(joint.origin) - centre))
        if joint.parent != HEAD_LINK or gap > 0.005:
            raise ConfigError(
                f"joint {joint.name}: origin {joint.origin} in {joint.parent} lies {gap * 1000:.1f} mm from the "
                f"mesh's eye: expected {[round(float(c), 4) for c in centre]} in {HEAD_LINK}"
            )


def _add_joint(spec: Any, parent: Any, joint: Joint, links: LinkTable) -> Any:
    import mujoco

    link = links.of(joint)
    body = parent.add_body(name=joint.link, pos=joint.origin)
    body.mass = link.mass_kg
    body.inertia = [link.inertia_kg_m2] * 3
    body.explicitinertial = True
    body.add_joint(
        name=joint.name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=joint.axis,
        limited=True,
        range=[joint.lower, joint.upper],
        solref_limit=[2 * TIMESTEP_S, 1.0],  # as hard as the time step allows
        armature=GEARING[joint.group] * link.inertia_kg_m2,
    )
    actuator = spec.add_actuator(
        name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT, ctrllimited=True,
        ctrlrange=[joint.lower, joint.upper], forcelimited=True, forcerange=[-link.effort_nm, link.effort_nm],
    )  # fmt: skip
    actuator.biastype = mujoco.mjtBias.mjBIAS_AFFINE
    return body


def _add_looks(spec: Any, bodies: dict[str, Any], robot: RobotModel, head: HeadAsset) -> None:
    skin = paint_skin(head)
    face = visible_face(head, skin.uv)
    triangles = head.position_of[head.triangles]
    normals = NormalMap(triangles, len(head.vertices))(head.vertices)

    _add_texture(spec, "skin", skin.texture, specular=0.16, shininess=0.28)
    _add_mesh(spec, FACE_MESH, head.vertices[face.position], normals[face.position], face.uv, face.triangles)
    _add_geom(bodies[HEAD_LINK], FACE_MESH, material="skin")

    ball, uv = sphere(64, 48)
    _add_texture(spec, "eye", eye_texture(), specular=0.25, shininess=0.9)
    _add_mesh(spec, "eye", ball.vertices * head.eye_radius * EYE_SCALE, ball.vertices, uv, ball.triangles)
    for side in ("left", "right"):
        _add_geom(bodies[f"eye_{side}_pitch_link"], "eye", material="eye", name=f"eye_{side}")
    _add_catch_lights(spec, bodies[HEAD_LINK], head)
    for part in dress(head):
        _add_part(spec, bodies[HEAD_LINK if part.on_head else BASE_LINK], part)


def _add_catch_lights(spec: Any, body: Any, head: HeadAsset) -> None:
    """Put the key light's reflection on each cornea: it stays where it is when the eye turns under it."""
    import mujoco

    spec.add_material(name="catch_light", rgba=[1, 1, 1, 1], emission=1.0)
    towards = np.array([0.955, 0.17, 0.245])
    for side, centre in zip(("left", "right"), head.eyes, strict=True):
        body.add_geom(
            name=f"catch_light_{side}", type=mujoco.mjtGeom.mjGEOM_ELLIPSOID, material="catch_light",
            size=[0.0014, 0.0014, 0.0004], pos=centre + towards * head.eye_radius * EYE_SCALE,
            zaxis=towards, contype=0, conaffinity=0, mass=0,
        )  # fmt: skip


def _add_part(spec: Any, body: Any, part: Part) -> None:
    spec.add_material(
        name=part.name,
        rgba=[*part.rgb, 1],
        specular=part.specular,
        shininess=part.shininess,
        emission=part.emission,
    )
    mesh: Mesh = part.mesh
    normals = NormalMap(mesh.triangles, len(mesh.vertices))(mesh.vertices)
    _add_mesh(spec, part.name, mesh.vertices, normals, None, mesh.triangles)
    _add_geom(body, part.name, material=part.name)


def _add_texture(
    spec: Any, name: str, image: NDArray[np.uint8], *, specular: float, shininess: float
) -> None:
    import mujoco

    height, width, _ = image.shape
    texture = spec.add_texture(
        name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3
    )
    texture.data = np.ascontiguousarray(image).tobytes()
    material = spec.add_material(name=name, specular=specular, shininess=shininess)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name


def _add_mesh(
    spec: Any, name: str, vertices: Points, normals: Points, uv: NDArray | None, triangles: Triangles
) -> None:
    import mujoco

    mesh = spec.add_mesh(name=name)
    mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # open surfaces enclose no volume
    mesh.uservert, mesh.usernormal = vertices.ravel(), normals.ravel()
    mesh.userface = mesh.userfacenormal = triangles.ravel()
    if uv is not None:
        # One normal and one texture coordinate a vertex: the compiled arrays keep the order.
        mesh.usertexcoord, mesh.userfacetexcoord = uv.ravel(), triangles.ravel()


def _add_geom(body: Any, mesh: str, *, material: str, name: str | None = None) -> None:
    import mujoco

    body.add_geom(
        name=name or mesh, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh, material=material,
        contype=0, conaffinity=0, mass=0,
    )  # fmt: skip


def _add_lights(spec: Any) -> None:
    # No cast shadows: what the face shades of itself is painted into the skin, softly and at no cost.
    import mujoco

    head_light = spec.visual.headlight
    head_light.ambient, head_light.diffuse, head_light.specular = (
        [0.36, 0.36, 0.38],
        [0.10, 0.10, 0.10],
        [0, 0, 0],
    )
    directional = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    for name, direction, diffuse in (
        ("key", (-0.80, -0.45, -0.55), (0.66, 0.63, 0.585)),
        ("fill", (-0.75, 0.75, -0.15), (0.17, 0.185, 0.21)),
        ("rim_left", (0.70, -0.80, -0.30), (0.26, 0.30, 0.34)),
        ("rim_right", (0.70, 0.80, -0.35), (0.30, 0.34, 0.38)),
    ):
        spec.worldbody.add_light(
            name=name, type=directional, pos=[-2.0 * d for d in direction], dir=direction, diffuse=diffuse,
            specular=[0.5 * c for c in diffuse], ambient=[0, 0, 0], castshadow=False,
        )  # fmt: skip
    spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.80, 0.84, 0.88], rgb2=[0.42, 0.47, 0.54], width=256, height=256 * 6,
    )  # fmt: skip


def _add_cameras(spec: Any, bodies: dict[str, Any], robot: RobotModel) -> None:
    eyes = np.array([robot["eye_left_yaw"].origin, robot["eye_right_yaw"].origin])
    middle = eyes.mean(axis=0)
    spec.worldbody.add_camera(
        name="face",
        pos=middle + np.array([FACE_CAMERA_M, 0.0, CAMERA_DROP_M]),
        xyaxes=[0, 1, 0, 0, 0, 1],
        fovy=34.0,
    )
    for side, eye in zip(("left", "right"), eyes, strict=True):
        # In front of the lashes, so that the robot does not see the inside of its own face.
        bodies[HEAD_LINK].add_camera(
            name=f"{side}_eye", pos=eye + np.array([0.045, 0.0, 0.0]), xyaxes=[0, -1, 0, 0, 0, 1], fovy=60.0
        )


def set_gl_default() -> None:
    """Choose EGL (no screen needed) unless the user chose otherwise; call before importing mujoco."""
    os.environ.setdefault("MUJOCO_GL", "egl")
