"""Pictures of people by two cameras side by side, small and often: what a stereo camera gives.

Everybody is posed once and drawn twice; there is no ground truth but the distances. One picture of
`Studio` takes longer than two of these with their depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.geometry import Matrix
from fabg.perception.pose import Camera
from fabg.social.avatar import gl
from fabg.social.avatar.poses import Actor
from fabg.social.avatar.render import Cast, Renderer
from fabg.social.avatar.scene import Background, Light, light_colours
from fabg.social.avatar.studio import SIZE_FACTOR, placed

Image = NDArray[np.uint8]
Depths = NDArray[np.float32]


class PairStudio:
    """Takes pairs of pictures. Close it, or use it as a context manager; one thread at a time.

    The cameras are alike and look the same way; the right one stands `baseline_m` along +x of the left
    one's optical frame. So a point at distance z lies `fx * baseline_m / z` px further left in the right image.

    Parameters
    ----------
    camera
        Focal lengths and principal point of both.
    size
        Width and height of one picture, px, 16..2048.
    baseline_m
        Distance of the two, m, 0.001..1.

    Raises
    ------
    InputError
        When size or baseline are out of range.
    ModelFileError
        When the body's mesh data are missing.
    EnvironmentProblem
        When there is no OpenGL 3.3 through EGL.
    """

    def __init__(
        self, camera: Camera, size: tuple[int, int] = (160, 120), *, baseline_m: float = 0.063
    ) -> None:
        if len(size) != 2 or not all(16 <= n <= 2048 for n in size):
            raise InputError(f"size is {size}: expected (width, height) from 16 to 2048 px")
        if not 0.001 <= baseline_m <= 1.0:  # also refuses NaN
            raise InputError(f"baseline_m is {baseline_m}: expected 0.001 to 1 m")
        self.camera, self.baseline_m = camera, baseline_m
        self.size = (int(size[0]), int(size[1]))
        self._renderer = _PairRenderer(camera, self.size)

    def render(
        self,
        actors: Sequence[Actor],
        *,
        light: Light | None = None,
        background: Background | None = None,
        exposure_ev: float = 0.0,
        seed: int = 0,
    ) -> tuple[Image, Image, Depths]:
        """Return the left and the right image, RGB (H, W, 3), and the left one's distances, m, (H, W).

        Parameters
        ----------
        actors
            Who is there, in the left camera's optical frame; nobody is allowed.
        light, background
            As for `Studio.render`. What is behind the people is infinitely far.
        exposure_ev
            Stops above or below the right exposure.
        seed
            Fixes a cluttered background, >= 0.

        Returns
        -------
        Both images, and distances along the optical axis, float32; NaN where nobody is.

        Raises
        ------
        InputError
            When the studio is closed, or a face cannot look where it is told to.
        """
        if seed < 0:
            raise InputError(f"seed is {seed}: expected a whole number from 0")
        # People of the data's size stand nearer by `SIZE_FACTOR`; so does the second camera.
        nearer = [placed(actor, 1.0 / SIZE_FACTOR) for actor in actors]
        left, right, depth = self._renderer.pair(
            nearer, self.baseline_m / SIZE_FACTOR, light or Light(), background or Background(),
            2.0**exposure_ev, seed,
        )  # fmt: skip
        return left, right, depth * np.float32(SIZE_FACTOR)

    def close(self) -> None:
        """Free the graphics memory. Further pictures are refused."""
        self._renderer.close()

    def __enter__(self) -> PairStudio:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _PairRenderer(Renderer):
    """Draws both pictures beside each other into one framebuffer, whose depth is read as well."""

    def __init__(self, camera: Camera, size: tuple[int, int]) -> None:
        super().__init__(camera, size, 0)
        width, height = size
        self._projection = gl.projection(camera, size)
        self._halves = ((0, 0, width, height), (width, 0, width, height))
        with self._gl.current() as context:
            self._both = context.framebuffer(
                [context.renderbuffer((2 * width, height), 4)], context.depth_texture((2 * width, height))
            )

    def pair(
        self,
        actors: Sequence[Actor],
        baseline_m: float,
        light: Light,
        background: Background,
        exposure: float,
        seed: int,
    ) -> tuple[Image, Image, Depths]:
        """Return left and right image (H, W, 3) and the left one's depth (H, W)."""
        if self._gl is None:
            raise InputError("the studio is closed: expected an open one")
        width, height = self._size
        to_right = np.eye(4)
        to_right[0, 3] = -baseline_m
        with self._gl.current() as context:
            casts = [self._cast(actor) for actor in actors]
            self._behind(context, background, exposure, seed)
            self._clear(context)
            self._set_light(light, exposure)
            for cast in casts:
                self._draw_person(context, cast, to_right)
            raw = np.frombuffer(self._both.read(components=4, viewport=(0, 0, 2 * width, height)), np.uint8)
            depth = np.frombuffer(
                self._both.read(components=1, attachment=-1, dtype="f4", viewport=self._halves[0]), "f4"
            )
        image = raw.reshape(height, 2 * width, 4)[..., :3]
        return (
            image[:, :width].copy(),
            image[:, width:].copy(),
            gl.depth_from_buffer(depth.reshape(height, width)),
        )

    def close(self) -> None:
        """Free everything that was made."""
        if self._gl is not None:
            with self._gl.current():
                self._both = None
        super().close()

    def _clear(self, context: Any) -> None:
        self._both.use()
        self._both.viewport = (0, 0, 2 * self._size[0], self._size[1])
        self._both.clear()
        context.enable_only(context.NOTHING)
        self._backdrop[2].use(0)
        gl.put(self._gl.backdrop, "part", (0.0, 0.0, 1.0, 1.0))
        for half in self._halves:
            self._both.viewport = half
            self._screen.render(context.TRIANGLE_STRIP)

    def _set_light(self, light: Light, exposure: float) -> None:
        key, ambient = light_colours(light)
        towards = np.array(light.direction) / np.linalg.norm(light.direction)
        for program in (self._gl.surface, self._gl.eye):
            gl.put(program, "projection", self._projection)
            gl.put(program, "light", towards)
            gl.put(program, "key", key)
            gl.put(program, "ambient", ambient)
            gl.put(program, "exposure", exposure)

    def _draw_person(self, context: Any, cast: Cast, to_right: Matrix) -> None:
        surface, eye = self._gl.surface, self._gl.eye
        cast.who.texture.use(0)
        for piece in cast.pieces:
            gl.put(surface, "gloss", piece.gloss)
            gl.put(surface, "softness", piece.softness)
            self._place(context, piece)  # the vertices are written once for both
            for half, model in zip(self._halves, (piece.model, to_right @ piece.model), strict=True):
                self._both.viewport = half
                gl.put(surface, "model", model)
                piece.mesh.picture.render()
        if cast.posed is None or cast.actor.face is None:
            return
        figure, head = cast.who.figure, cast.actor.face.pose
        context.enable_only(context.DEPTH_TEST | context.CULL_FACE)
        gl.put(eye, "iris", figure.person.iris)
        gl.put(eye, "limbus", figure.limbus)
        gl.put(eye, "strands", figure.person.paint_seed % 1000)
        for turned, centre, axes in zip(cast.posed.eyes, figure.eye_centres, figure.eye_axes, strict=True):
            gl.put(eye, "turned", turned)
            gl.put(eye, "centre", centre)
            gl.put(eye, "axes", axes)
            for half, model in zip(self._halves, (head, to_right @ head), strict=True):
                self._both.viewport = half
                gl.put(eye, "model", model)
                self._eye.render()
