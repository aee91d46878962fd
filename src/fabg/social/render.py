"""Draw people with OpenGL, and say what of them is seen."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.geometry import Matrix
from fabg.perception.pose import Camera
from fabg.perception.types import Roi, Side
from fabg.robot.surface import sphere
from fabg.social import gl
from fabg.social.body_asset import BONES, load_body
from fabg.social.figure import Figure, PosedFace
from fabg.social.meshes import EYE, FACE, LEFT_HAND, RIGHT_HAND, Piece, Wardrobe
from fabg.social.people import Person
from fabg.social.poses import Actor, HandPose
from fabg.social.scene import Background, Light, light_colours, paint_background
from fabg.social.sleeve import sleeve

Vector = NDArray[np.float64]

_KEEP_PEOPLE = 24
_SKIN_GLOSS = 0.16


@dataclass(frozen=True, eq=False)
class FaceSeen:
    """One face as drawn: where, in which shape, and how much of it shows."""

    figure: Figure
    pose: Matrix
    posed: PosedFace
    box: Roi | None
    visible: float


@dataclass(frozen=True, eq=False)
class HandSeen:
    """One hand as drawn; the joints (21, 3) are in the camera."""

    hand: HandPose
    joints: Vector
    box: Roi | None
    visible: float


@dataclass(eq=False)
class Cast:
    """One actor, ready to be drawn."""

    actor: Actor
    who: Wardrobe
    posed: PosedFace | None = None
    pieces: list[Piece] = field(default_factory=list)
    hands: list[tuple[HandPose, Vector, NDArray, NDArray]] = field(default_factory=list)


class Renderer:
    """Draws into memory of its own. See `fabg.social.avatar.Studio` for the arguments."""

    def __init__(self, camera: Camera, size: tuple[int, int], samples: int) -> None:
        self._camera, self._size = camera, size
        self._body = load_body()
        self._gl = gl.shared()
        self._projection = gl.projection(camera, size)
        self._people: OrderedDict[Person, Wardrobe] = OrderedDict()
        self._backdrop: tuple[Any, Any] = (None, None)
        with self._gl.current() as context:
            colour = context.renderbuffer(size, 4, samples=samples)
            self._canvas = context.framebuffer([colour], context.depth_renderbuffer(size, samples=samples))
            self._flat = context.framebuffer([context.renderbuffer(size, 4)])
            self._labels = context.framebuffer(
                [context.texture(size, 2, dtype="u1")], context.depth_texture(size)
            )
            ball, _ = sphere(28, 20)
            points = context.buffer(ball.vertices.astype("f4").tobytes())
            index = context.buffer(ball.triangles.astype("i4").tobytes())
            self._eye = context.vertex_array(self._gl.eye, [(points, "3f", "position")], index)
            region = context.buffer(np.full(len(ball.vertices), EYE, "f4").tobytes())
            self._eye_label = context.vertex_array(
                self._gl.label, [(points, "3f", "position"), (region, "1f", "region")], index
            )
            corners = context.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], "f4").tobytes())
            self._screen = context.vertex_array(self._gl.backdrop, [(corners, "2f", "corner")])

    def draw(
        self, actors: Sequence[Actor], light: Light, background: Background, exposure: float, seed: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], list[tuple[FaceSeen | None, list[HandSeen]]]]:
        """Return the image (H, W, 3), the depth (H, W), and for each actor the face and the hands."""
        if self._gl is None:
            raise InputError("the studio is closed: expected an open one")
        width, height = self._size
        with self._gl.current() as context:
            casts = [self._cast(actor) for actor in actors]
            self._draw_picture(context, casts, light, background, exposure, seed)
            context.copy_framebuffer(self._flat, self._canvas)
            raw = np.frombuffer(self._flat.read(components=4), np.uint8)
            image = np.ascontiguousarray(raw.reshape(height, width, 4)[..., :3])
            labels, depth = self._draw_labels(context, casts)
        return image, depth, [self._seen(i, cast, labels, depth) for i, cast in enumerate(casts)]

    def close(self) -> None:
        """Free everything that was made."""
        if self._gl is None:
            return
        with self._gl.current():
            self._people.clear()
            self._backdrop = (None, None)
            del self._canvas, self._flat, self._labels, self._eye, self._eye_label, self._screen
        self._gl = None  # type: ignore[assignment]

    # -- who is drawn ---------------------------------------------------------------------------

    def _cast(self, actor: Actor) -> Cast:
        cast = Cast(actor, self._dressed(actor.person))
        face, who = actor.face, cast.who
        if face is not None:
            posed = cast.posed = who.figure.posed(face)
            place = who.figure.bust.position_of
            cast.pieces.append(
                Piece(
                    who.bust, face.pose, posed.positions[place], posed.normals[place],
                    gloss=_SKIN_GLOSS, softness=1.0,
                )
            )  # fmt: skip
            raised = {hand.side.name.lower() for hand in actor.hands}
            cast.pieces += [
                Piece(mesh, posed.trunk, softness=0.35, two_sided=True)
                for area, mesh in who.clothes.items()
                if area not in raised
            ]
            if who.hair is not None:
                cast.pieces.append(Piece(who.hair, face.pose, gloss=0.10, softness=0.2, two_sided=True))
        for hand in actor.hands:
            self._raise_hand(cast, hand)
        return cast

    def _dressed(self, person: Person) -> Wardrobe:
        if person not in self._people:
            self._people[person] = Wardrobe(person, self._body, self._gl)
            while len(self._people) > _KEEP_PEOPLE:
                self._people.popitem(last=False)
        self._people.move_to_end(person)
        return self._people[person]

    def _raise_hand(self, cast: Cast, hand: HandPose) -> None:
        model, mesh = cast.who.hand(hand.side)
        rotation, position = hand.pose[:3, :3], hand.pose[:3, 3]
        along = rotation[:, 0] * -1.0 if hand.forearm is None else hand.forearm
        posed = model.posed(hand.fingers, rotation.T @ along)
        cast.pieces.append(
            Piece(
                mesh, hand.pose, posed.positions, posed.normals, sky=posed.sky,
                gloss=_SKIN_GLOSS, softness=0.8,
            )
        )  # fmt: skip
        wrist = rotation @ model.wrist + position
        elbow = wrist + along * model.forearm_m
        vertices, normals = sleeve(wrist, elbow, self._shoulder(cast, hand, elbow), model.forearm_radius_m)
        cast.pieces.append(
            Piece(cast.who.sleeve(hand.side), np.eye(4), vertices, normals, softness=0.3, two_sided=True)
        )
        cast.hands.append(
            (
                hand, posed.joints @ rotation.T + position, posed.positions @ rotation.T + position,
                posed.normals @ rotation.T,
            )
        )  # fmt: skip

    def _shoulder(self, cast: Cast, hand: HandPose, elbow: Vector) -> Vector:
        sign = 1.0 if hand.side == Side.LEFT else -1.0
        if cast.posed is None:
            # Nobody is there: the upper arm leads down, back and inwards, out of the picture.
            return elbow + np.array([-0.06 * sign, 0.24, 0.16])
        figure, trunk = cast.who.figure, cast.posed.trunk
        joint = figure.body.points[f"bone_head_{hand.side.name.lower()}"][BONES.index("upperarm01")]
        return np.asarray(trunk[:3, :3] @ figure.vertices[joint] + trunk[:3, 3])

    # -- drawing --------------------------------------------------------------------------------

    def _draw_picture(
        self,
        context: Any,
        casts: list[Cast],
        light: Light,
        background: Background,
        exposure: float,
        seed: int,
    ) -> None:
        surface, eye = self._gl.surface, self._gl.eye
        self._canvas.use()
        self._canvas.clear()
        context.enable_only(context.NOTHING)
        self._behind(context, background, seed).use(0)
        gl.put(self._gl.backdrop, "exposure", exposure)
        self._screen.render(context.TRIANGLE_STRIP)
        key, ambient = light_colours(light)
        towards = np.array(light.direction) / np.linalg.norm(light.direction)
        for program in (surface, eye):
            gl.put(program, "projection", self._projection)
            gl.put(program, "light", towards)
            gl.put(program, "key", key)
            gl.put(program, "ambient", ambient)
            gl.put(program, "exposure", exposure)
        for cast in casts:
            cast.who.texture.use(0)
            for piece in cast.pieces:
                gl.put(surface, "model", piece.model)
                gl.put(surface, "gloss", piece.gloss)
                gl.put(surface, "softness", piece.softness)
                self._place(context, piece)
                piece.mesh.picture.render()
            if cast.posed is not None:
                figure = cast.who.figure
                gl.put(eye, "iris", figure.person.iris)
                gl.put(eye, "limbus", figure.limbus)
                gl.put(eye, "strands", figure.person.paint_seed % 1000)
                self._eyes(context, cast, eye, self._eye)

    def _draw_labels(self, context: Any, casts: list[Cast]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return who is where (H, W, 2) as (actor + 1, part), and the depth (H, W)."""
        program = self._gl.label
        self._labels.use()
        self._labels.clear()
        gl.put(program, "projection", self._projection)
        for index, cast in enumerate(casts):
            program["actor"].value = index + 1
            gl.put(program, "turned", np.eye(3))
            gl.put(program, "centre", (0, 0, 0))
            gl.put(program, "axes", (1, 1, 1))
            for piece in cast.pieces:
                gl.put(program, "model", piece.model)
                self._place(context, piece)
                piece.mesh.label.render()
            if cast.posed is not None:
                self._eyes(context, cast, program, self._eye_label)
        width, height = self._size
        labels = np.frombuffer(self._labels.read(components=2, dtype="u1"), np.uint8)
        depth = np.frombuffer(self._labels.read(components=1, attachment=-1, dtype="f4"), "f4")
        return labels.reshape(height, width, 2), gl.depth_from_buffer(depth.reshape(height, width))

    @staticmethod
    def _place(context: Any, piece: Piece) -> None:
        if piece.positions is not None and piece.normals is not None:
            piece.mesh.write(piece.positions, piece.normals)
        if piece.sky is not None:
            piece.mesh.shade(piece.sky)
        context.front_face = "cw"  # image rows run downwards, so what is seen turns round
        context.enable_only(context.DEPTH_TEST | (0 if piece.two_sided else context.CULL_FACE))

    @staticmethod
    def _eyes(context: Any, cast: Cast, program: Any, ball: Any) -> None:
        assert cast.posed is not None and cast.actor.face is not None
        figure = cast.who.figure
        context.enable_only(context.DEPTH_TEST | context.CULL_FACE)
        gl.put(program, "model", cast.actor.face.pose)
        for turned, centre, axes in zip(cast.posed.eyes, figure.eye_centres, figure.eye_axes, strict=True):
            gl.put(program, "turned", turned)
            gl.put(program, "centre", centre)
            gl.put(program, "axes", axes)
            ball.render()

    def _behind(self, context: Any, background: Background, seed: int) -> Any:
        wanted = (background, seed if background.kind == "room" else None)
        if self._backdrop[0] != wanted:
            image = paint_background(background, self._size, seed)
            texture = context.texture(self._size, 3, np.ascontiguousarray(image).tobytes(), alignment=1)
            texture.filter = (context.NEAREST, context.NEAREST)
            self._backdrop = (wanted, texture)
        return self._backdrop[1]

    # -- what is seen ---------------------------------------------------------------------------

    def _seen(
        self, index: int, cast: Cast, labels: NDArray[np.uint8], depth: NDArray[np.float32]
    ) -> tuple[FaceSeen | None, list[HandSeen]]:
        mine = labels[..., 0] == index + 1
        part = np.where(mine, labels[..., 1], 0)
        face = None
        if cast.posed is not None and cast.actor.face is not None:
            matrix, figure = cast.actor.face.pose, cast.who.figure
            rows = figure.bust.is_face
            points = cast.posed.positions[rows] @ matrix[:3, :3].T + matrix[:3, 3]
            normals = cast.posed.normals[rows] @ matrix[:3, :3].T
            box = box_of((part == FACE) | (part == EYE))
            share = visible_share(points, normals, depth, self._camera)
            face = FaceSeen(figure, matrix, cast.posed, box, share)
        hands = []
        for hand, joints, points, normals in cast.hands:
            box = box_of(part == (LEFT_HAND if hand.side == Side.LEFT else RIGHT_HAND))
            share = visible_share(points, normals, depth, self._camera)
            hands.append(HandSeen(hand, joints, box, share))
        return face, hands


def box_of(mask: NDArray[np.bool_]) -> Roi | None:
    """Return the rectangle around the true pixels, None without any."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    x0, x1, y0, y1 = columns[0], columns[-1], rows[0], rows[-1]
    return Roi(float(x0), float(y0), float(x1 - x0 + 1), float(y1 - y0 + 1))


def visible_share(
    points: NDArray, normals: NDArray, depth: NDArray[np.float32], camera: Camera, slack_m: float = 0.012
) -> float:
    """Return which share of the points that face the camera is in the image and not hidden, 0..1."""
    front = (np.einsum("ij,ij->i", points, normals) < 0) & (points[:, 2] > gl.NEAR_M)
    if not front.any():
        return 0.0
    p = points[front]
    pixel = np.rint(p[:, :2] / p[:, 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]).astype(int)
    height, width = depth.shape
    inside = (pixel >= 0).all(axis=1) & (pixel[:, 0] < width) & (pixel[:, 1] < height)
    nearest = np.full(len(p), -np.inf)
    nearest[inside] = depth[pixel[inside, 1], pixel[inside, 0]]
    # Where no pixel centre was hit (NaN), the point lies on the outline: it hides behind nobody.
    seen = inside & ~(nearest < p[:, 2] - slack_m)
    return float(seen.mean())
