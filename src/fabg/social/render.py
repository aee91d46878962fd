"""Draw people with OpenGL, and say what of them is seen."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.perception.pose import Camera
from fabg.perception.types import Roi
from fabg.robot.surface import sphere
from fabg.social import gl
from fabg.social.body_asset import PARTS, BodyAsset, load_body
from fabg.social.figure import Figure, PosedFace
from fabg.social.paint import paint_head
from fabg.social.people import Person
from fabg.social.poses import Actor
from fabg.social.scene import Background, Light, light_colours, paint_background

FACE, SKIN, EYE, HAIR, CLOTH, LEFT_HAND, RIGHT_HAND = range(1, 8)
"""What a pixel shows, in the second channel of the label image; 0 is the background."""

_KEEP_PEOPLE = 24
_MOUTH, _TEETH, _TONGUE = (0.28, 0.10, 0.10), (0.88, 0.86, 0.80), (0.62, 0.30, 0.30)
_IDENTITY3 = np.eye(3)


@dataclass(frozen=True, eq=False)
class FaceSeen:
    """One face as drawn: where, in which shape, and how much of it shows."""

    actor: int
    figure: Figure
    pose: NDArray[np.float64]
    posed: PosedFace
    box: Roi | None
    visible: float


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
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], list[FaceSeen]]:
        """Return the image (H, W, 3), the depth (H, W) and the faces."""
        if self._gl is None:
            raise InputError("the studio is closed: expected an open one")
        with self._gl.current() as context:
            people = [self._dressed(actor.person) for actor in actors]
            posed = [
                who.figure.posed(actor.face) if actor.face is not None else None
                for who, actor in zip(people, actors, strict=True)
            ]
            self._draw_picture(context, actors, people, posed, light, background, exposure, seed)
            context.copy_framebuffer(self._flat, self._canvas)
            width, height = self._size
            raw = np.frombuffer(self._flat.read(components=4), np.uint8)
            image = np.ascontiguousarray(raw.reshape(height, width, 4)[..., :3])
            labels, depth = self._draw_labels(context, actors, people, posed)
        faces = [
            self._seen(index, actor, who.figure, shape, labels, depth)
            for index, (actor, who, shape) in enumerate(zip(actors, people, posed, strict=True))
            if actor.face is not None and shape is not None
        ]
        return image, depth, faces

    def close(self) -> None:
        """Free everything that was made."""
        if self._gl is None:
            return
        with self._gl.current():
            self._people.clear()
            self._backdrop = (None, None)
            del self._canvas, self._flat, self._labels, self._eye, self._eye_label, self._screen
        self._gl = None  # type: ignore[assignment]

    def _dressed(self, person: Person) -> Wardrobe:
        if person not in self._people:
            self._people[person] = Wardrobe(person, self._body, self._gl)
            while len(self._people) > _KEEP_PEOPLE:
                self._people.popitem(last=False)
        self._people.move_to_end(person)
        return self._people[person]

    def _draw_picture(
        self,
        context: Any,
        actors: Sequence[Actor],
        people: Sequence[Wardrobe],
        posed: Sequence[PosedFace | None],
        light: Light,
        background: Background,
        exposure: float,
        seed: int,
    ) -> None:
        surface, eye = self._gl.surface, self._gl.eye
        self._canvas.use()
        context.disable(context.DEPTH_TEST)
        self._canvas.clear()
        self._behind(context, background, seed).use(0)
        gl.put(self._gl.backdrop, "exposure", exposure)
        self._screen.render(context.TRIANGLE_STRIP)
        context.enable_only(context.DEPTH_TEST)
        key, ambient = light_colours(light)
        towards = np.array(light.direction) / np.linalg.norm(light.direction)
        for program in (surface, eye):
            gl.put(program, "projection", self._projection)
            gl.put(program, "light", towards)
            gl.put(program, "key", key)
            gl.put(program, "ambient", ambient)
            gl.put(program, "exposure", exposure)
        for actor, who, shape in zip(actors, people, posed, strict=True):
            if actor.face is None or shape is None:
                continue
            who.write(shape)
            gl.put(surface, "model", actor.face.pose)
            gl.put(surface, "gloss", 0.16)
            gl.put(surface, "softness", 1.0)
            who.texture.use(0)
            who.bust.render()
            gl.put(eye, "model", actor.face.pose)
            gl.put(eye, "iris", who.figure.person.iris)
            gl.put(eye, "limbus", who.figure.limbus)
            gl.put(eye, "strands", who.figure.person.paint_seed % 1000)
            for turned, centre, axes in zip(
                shape.eyes, who.figure.eye_centres, who.figure.eye_axes, strict=True
            ):
                gl.put(eye, "turned", turned)
                gl.put(eye, "centre", centre)
                gl.put(eye, "axes", axes)
                self._eye.render()

    def _draw_labels(
        self,
        context: Any,
        actors: Sequence[Actor],
        people: Sequence[Wardrobe],
        posed: Sequence[PosedFace | None],
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return who is where (H, W, 2) as (actor + 1, part), and the depth (H, W)."""
        program = self._gl.label
        self._labels.use()
        context.enable_only(context.DEPTH_TEST)
        self._labels.clear()
        gl.put(program, "projection", self._projection)
        for index, (actor, who, shape) in enumerate(zip(actors, people, posed, strict=True)):
            if actor.face is None or shape is None:
                continue
            program["actor"].value = index + 1
            gl.put(program, "model", actor.face.pose)
            self._whole(program)
            who.bust_label.render()
            for turned, centre, axes in zip(
                shape.eyes, who.figure.eye_centres, who.figure.eye_axes, strict=True
            ):
                gl.put(program, "turned", turned)
                gl.put(program, "centre", centre)
                gl.put(program, "axes", axes)
                self._eye_label.render()
        width, height = self._size
        labels = np.frombuffer(self._labels.read(components=2, dtype="u1"), np.uint8)
        depth = np.frombuffer(self._labels.read(components=1, attachment=-1, dtype="f4"), "f4")
        return labels.reshape(height, width, 2), gl.depth_from_buffer(depth.reshape(height, width))

    @staticmethod
    def _whole(program: Any) -> None:
        gl.put(program, "turned", _IDENTITY3)
        gl.put(program, "centre", (0, 0, 0))
        gl.put(program, "axes", (1, 1, 1))

    def _behind(self, context: Any, background: Background, seed: int) -> Any:
        wanted = (background, seed if background.kind == "room" else None)
        if self._backdrop[0] != wanted:
            image = paint_background(background, self._size, seed)
            texture = context.texture(self._size, 3, np.ascontiguousarray(image).tobytes(), alignment=1)
            self._backdrop = (wanted, texture)
        return self._backdrop[1]

    def _seen(
        self,
        index: int,
        actor: Actor,
        figure: Figure,
        posed: PosedFace,
        labels: NDArray[np.uint8],
        depth: NDArray[np.float32],
    ) -> FaceSeen:
        assert actor.face is not None
        matrix = actor.face.pose
        rows = figure.bust.is_face
        points = posed.positions[rows] @ matrix[:3, :3].T + matrix[:3, 3]
        normals = posed.normals[rows] @ matrix[:3, :3].T
        mine = (labels[..., 0] == index + 1) & ((labels[..., 1] == FACE) | (labels[..., 1] == EYE))
        return FaceSeen(
            actor=index,
            figure=figure,
            pose=matrix,
            posed=posed,
            box=box_of(mine),
            visible=visible_share(points, normals, depth, self._camera),
        )


class Wardrobe:
    """One person's meshes and paint on the graphics side."""

    def __init__(self, person: Person, body: BodyAsset, shared: gl.Gl) -> None:
        self.figure = Figure(person, body)
        bust, context = self.figure.bust, shared.context
        image = paint_head(person, body)
        height, width = image.shape[:2]
        self.texture = context.texture((width, height), 3, np.ascontiguousarray(image).tobytes(), alignment=1)
        self.texture.build_mipmaps()
        self._moving = context.buffer(reserve=len(bust.render) * 24, dynamic=True)
        static = context.buffer(np.ascontiguousarray(self._look(body), "f4").tobytes())
        index = context.buffer(bust.triangles.astype("i4").tobytes())
        self.bust = context.vertex_array(
            shared.surface,
            [(self._moving, "3f 3f", "position", "normal"), (static, "2f 3f 2f 1x4", "uv", "colour", "look")],
            index,
        )
        self.bust_label = context.vertex_array(
            shared.label, [(self._moving, "3f 3x4", "position"), (static, "7x4 1f", "region")], index
        )
        self._buffer = np.empty((len(bust.render), 6), "f4")

    def write(self, posed: PosedFace) -> None:
        """Bring the bust into shape."""
        place = self.figure.bust.position_of
        self._buffer[:, :3] = posed.positions[place]
        self._buffer[:, 3:] = posed.normals[place]
        self._moving.write(self._buffer)

    def _look(self, body: BodyAsset) -> NDArray[np.float32]:
        """Per render vertex: uv, colour, share of the sky, share of the texture, region."""
        bust, person = self.figure.bust, self.figure.person
        look = np.zeros((len(bust.render), 8), np.float32)
        uv = body.uv[bust.render]
        look[:, :2] = uv
        look[:, 2:5] = person.skin
        look[:, 5] = body.shade[bust.rows][bust.position_of]
        part = bust.part
        inner = (body.inner_mouth[bust.render] > 0.5) & (part == 0)
        on_island = ((uv > 0) & (uv < 1)).all(axis=1) & (part == 0)
        look[:, 6] = on_island & ~inner
        look[inner, 2:5] = _MOUTH
        look[part == PARTS.index("teeth"), 2:5] = _TEETH
        look[part == PARTS.index("tongue"), 2:5] = _TONGUE
        look[inner | (part > 0), 5] *= 0.6
        look[:, 7] = np.where(bust.is_face[bust.position_of], FACE, SKIN)
        return look


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
