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
from fabg.social.avatar import gl
from fabg.social.avatar.body_asset import BONES, load_body
from fabg.social.avatar.figure import Figure, PosedFace
from fabg.social.avatar.meshes import EYE, FACE, LEFT_HAND, RIGHT_HAND, Piece, Wardrobe
from fabg.social.avatar.people import Person
from fabg.social.avatar.poses import Actor, HandPose
from fabg.social.avatar.scene import Background, Light, light_colours, paint_background
from fabg.social.avatar.sleeve import sleeve

Vector = NDArray[np.float64]

_KEEP_PEOPLE = 24
_KEEP_TARGETS = 12
_WINDOW_STEP = 64
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


class Target:
    """Framebuffers of one size: multisampled colour, its resolved copy, and labels with depth."""

    def __init__(self, context: Any, size: tuple[int, int], samples: int) -> None:
        self.size = size
        colour = context.renderbuffer(size, 4, samples=samples)
        self.canvas = context.framebuffer([colour], context.depth_renderbuffer(size, samples=samples))
        self.flat = context.framebuffer([context.renderbuffer(size, 4)])
        self.labels = context.framebuffer([context.texture(size, 2, dtype="u1")], context.depth_texture(size))


class Renderer:
    """Draws into memory of its own. See `fabg.social.avatar.Studio` for the arguments."""

    def __init__(self, camera: Camera, size: tuple[int, int], samples: int) -> None:
        self._camera, self._size = camera, size
        self._body = load_body()
        self._gl = gl.shared()
        self._people: OrderedDict[Person, Wardrobe] = OrderedDict()
        self._backdrop: tuple[Any, Any, Any] = (None, None, None)
        self._samples = samples
        self._targets: OrderedDict[tuple[int, int], Target] = OrderedDict()
        with self._gl.current() as context:
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
            image = self._behind(context, background, exposure, seed).copy()
            labels = np.zeros((height, width, 2), np.uint8)
            depth = np.full((height, width), np.nan, np.float32)
            window = self._window(casts)
            if window is not None:
                x, y, w, h = window
                target = self._target(context, (w, h))
                shifted = Camera(self._camera.fx, self._camera.fy, self._camera.cx - x, self._camera.cy - y)
                projection = gl.projection(shifted, (w, h))
                here = np.s_[y : y + h, x : x + w]
                image[here] = self._draw_picture(context, casts, light, exposure, target, projection, window)
                labels[here], depth[here] = self._draw_labels(context, casts, target, projection)
        return image, depth, [self._seen(i, cast, labels, depth) for i, cast in enumerate(casts)]

    def close(self) -> None:
        """Free everything that was made."""
        if self._gl is None:
            return
        with self._gl.current():
            self._people.clear()
            self._targets.clear()
            self._backdrop = (None, None, None)
            del self._eye, self._eye_label, self._screen
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
                Piece(mesh, posed.trunk, softness=0.35)
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
        # A little inside the trunk, so that the sleeve's open end does not show.
        return np.asarray(trunk[:3, :3] @ (figure.vertices[joint] * [1, 0.88, 1]) + trunk[:3, 3])

    # -- drawing --------------------------------------------------------------------------------

    def _window(self, casts: list[Cast]) -> tuple[int, int, int, int] | None:
        """Return the part of the image with people in it: left, top, width, height; None without any.

        Its size is a multiple of 64 px or that of the image, so that few framebuffers serve all pictures.
        """
        low, high = np.full(2, np.inf), np.full(2, -np.inf)
        for piece in (piece for cast in casts for piece in cast.pieces):
            points = piece.outline @ piece.model[:3, :3].T + piece.model[:3, 3]
            if points[:, 2].min() < gl.NEAR_M:
                return (0, 0, *self._size)
            pixels = points[:, :2] / points[:, 2:] * [self._camera.fx, self._camera.fy]
            low, high = np.minimum(low, pixels.min(axis=0)), np.maximum(high, pixels.max(axis=0))
        size = np.array(self._size)
        centre = np.array([self._camera.cx, self._camera.cy])
        first = np.clip(np.floor(low + centre) - 2, 0, size)
        last = np.clip(np.ceil(high + centre) + 3, 0, size)
        if not (last > first).all():
            return None
        extent = np.minimum(np.ceil((last - first) / _WINDOW_STEP) * _WINDOW_STEP, size).astype(int)
        start = np.minimum(first, size - extent).astype(int)
        return int(start[0]), int(start[1]), int(extent[0]), int(extent[1])

    def _target(self, context: Any, size: tuple[int, int]) -> Target:
        if size not in self._targets:
            self._targets[size] = Target(context, size, self._samples)
            while len(self._targets) > _KEEP_TARGETS:
                self._targets.popitem(last=False)
        self._targets.move_to_end(size)
        return self._targets[size]

    def _draw_picture(
        self,
        context: Any,
        casts: list[Cast],
        light: Light,
        exposure: float,
        target: Target,
        projection: Matrix,
        window: tuple[int, int, int, int],
    ) -> NDArray[np.uint8]:
        surface, eye = self._gl.surface, self._gl.eye
        target.canvas.use()
        target.canvas.clear()
        context.enable_only(context.NOTHING)
        self._backdrop[2].use(0)
        gl.put(self._gl.backdrop, "part", np.array(window) / np.tile(self._size, 2))
        self._screen.render(context.TRIANGLE_STRIP)
        key, ambient = light_colours(light)
        towards = np.array(light.direction) / np.linalg.norm(light.direction)
        for program in (surface, eye):
            gl.put(program, "projection", projection)
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
        context.copy_framebuffer(target.flat, target.canvas)
        raw = np.frombuffer(target.flat.read(components=4), np.uint8)
        return raw.reshape(target.size[1], target.size[0], 4)[..., :3]

    def _draw_labels(
        self, context: Any, casts: list[Cast], target: Target, projection: Matrix
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return who is where (H, W, 2) as (actor + 1, part), and the depth (H, W)."""
        program = self._gl.label
        target.labels.use()
        target.labels.clear()
        gl.put(program, "projection", projection)
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
        width, height = target.size
        labels = np.frombuffer(target.labels.read(components=2, dtype="u1"), np.uint8)
        depth = np.frombuffer(target.labels.read(components=1, attachment=-1, dtype="f4"), "f4")
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

    def _behind(self, context: Any, background: Background, exposure: float, seed: int) -> NDArray[np.uint8]:
        wanted = (background, exposure, seed if background.kind == "room" else None)
        if self._backdrop[0] != wanted:
            image = paint_background(background, self._size, exposure, seed)
            texture = context.texture(self._size, 3, np.ascontiguousarray(image).tobytes(), alignment=1)
            texture.filter = (context.NEAREST, context.NEAREST)
            self._backdrop = (wanted, image, texture)
        image = self._backdrop[1]
        return np.asarray(image, dtype=np.uint8)

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
