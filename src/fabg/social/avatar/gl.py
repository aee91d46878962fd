"""One OpenGL context for all pictures of people, kept apart from anybody else's.

Two live moderngl contexts of one process draw into each other, so there is one, made at first use.
It is current only inside `Gl.current()`: whatever context was current before (MuJoCo's renderer, for
one) is current again afterwards.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fabg.errors import EnvironmentProblem
from fabg.perception.pose import Camera

NEAR_M, FAR_M = 0.05, 30.0

_DRAW, _READ = 0x3059, 0x305A  # EGL_DRAW, EGL_READ

_SURFACE_VERTEX = """
#version 330
uniform mat4 projection, model;
in vec3 position, normal, colour;
in vec2 uv;
in vec2 look;  // share of the sky, share of the texture
out vec3 at, out_of, paint;
out vec2 place, blend;
void main() {
    vec4 seen = model * vec4(position, 1.0);
    at = seen.xyz;
    out_of = mat3(model) * normal;
    paint = colour;
    place = uv;
    blend = look;
    gl_Position = projection * seen;
}
"""

# Light in linear units; skin lets light round the edge of the shadow, red furthest.
_LIGHT = """
uniform vec3 light;  // towards the light
uniform vec3 key, ambient;
uniform float exposure;
// A gamma of 2 instead of sRGB's: roots are much cheaper than powers.
vec3 linear(vec3 c) { return c * c; }
vec3 stored(vec3 c) { return sqrt(clamp(c * exposure, 0.0, 1.0)); }
vec3 lit(vec3 albedo, vec3 n, float sky, vec3 wrap) {
    vec3 direct = max((vec3(dot(n, light)) + wrap) / (1.0 + wrap), 0.0);
    float open_sky = mix(0.55, 1.0, 0.5 - 0.5 * n.y);
    vec3 fill = ambient * open_sky * mix(vec3(sky), vec3(1.0), 0.15);
    return albedo * (key * direct * mix(sky, 1.0, 0.35) + fill);
}
"""

_SURFACE_FRAGMENT = (
    """
#version 330
uniform sampler2D skin;
uniform float gloss, softness;
in vec3 at, out_of, paint;
in vec2 place, blend;
out vec4 pixel;
"""
    + _LIGHT
    + """
void main() {
    vec3 n = normalize(out_of), view = normalize(-at);
    if (dot(n, view) < 0.0 && softness < 0.0) n = -n;
    vec3 albedo = paint;
    if (blend.y > 0.001) albedo = mix(paint, texture(skin, place).rgb, blend.y);
    vec3 wrap = max(softness, 0.0) * vec3(0.34, 0.17, 0.11);
    vec3 seen = lit(linear(albedo), n, blend.x, wrap);
    float facing = max(dot(n, view), 0.0);
    float shine = pow(max(dot(n, normalize(light + view)), 0.0), 22.0) * 0.55;
    float edge = pow(1.0 - facing, 4.0) * 0.22;
    seen += gloss * blend.x * (key * shine * step(0.0, dot(n, light)) + ambient * edge);
    pixel = vec4(stored(seen), 1.0);
}
"""
)

_EYE_VERTEX = """
#version 330
uniform mat4 projection, model;
uniform mat3 turned;  // of the eye in the head
uniform vec3 centre, axes;
in vec3 position;
out vec3 at, out_of, ray, in_head;
void main() {
    vec3 direction = turned * position;
    vec4 seen = model * vec4(centre + axes * direction, 1.0);
    at = seen.xyz;
    in_head = direction;
    out_of = mat3(model) * (direction / axes);
    ray = position;
    gl_Position = projection * seen;
}
"""

_EYE_FRAGMENT = (
    """
#version 330
uniform vec3 iris;
uniform float limbus, strands;
in vec3 at, out_of, ray, in_head;
out vec4 pixel;
"""
    + _LIGHT
    + """
void main() {
    vec3 n = normalize(out_of), view = normalize(-at), r = normalize(ray);
    float angle = acos(clamp(r.x, -1.0, 1.0)) / limbus, around = atan(r.z, r.y);
    float fibre = 1.0 + 0.16 * sin(around * 41.0 + strands) * sin(around * 17.0 + 2.0 * strands)
        + 0.08 * sin(around * 97.0 + 6.0 * angle);
    vec3 colour = iris * fibre * mix(1.30, 0.85, smoothstep(0.35, 0.95, angle));
    colour = mix(colour, iris * 0.35, smoothstep(0.80, 1.0, angle));
    vec3 white = mix(vec3(0.90, 0.885, 0.87), vec3(0.80, 0.66, 0.62), smoothstep(1.3, 2.8, angle));
    colour = mix(colour, white, smoothstep(0.95, 1.07, angle));
    colour = mix(vec3(0.012), colour, smoothstep(0.34, 0.40, angle));
    // The upper lid and its lashes shade the ball; so do the corners.
    vec3 h = normalize(in_head);
    float sky = mix(0.42, 1.0, smoothstep(0.42, 0.02, h.z)) * mix(0.60, 1.0, smoothstep(0.75, 0.35, abs(h.y)));
    vec3 seen = lit(linear(colour), n, sky, vec3(0.2));
    seen += key * sky * pow(max(dot(n, normalize(light + view)), 0.0), 260.0) * 0.9;
    seen += ambient * sky * pow(max(dot(n, normalize(vec3(-0.3, -0.75, 0.0) + view)), 0.0), 90.0) * 0.10;
    pixel = vec4(stored(seen), 1.0);
}
"""
)

_BACKDROP_VERTEX = """
#version 330
uniform vec4 part;  // of the picture: left, top, width, height as shares
in vec2 corner;
out vec2 place;
void main() {
    place = part.xy + part.zw * (0.5 + 0.5 * corner);
    gl_Position = vec4(corner, 0.0, 1.0);
}
"""

_BACKDROP_FRAGMENT = """
#version 330
uniform sampler2D picture;
in vec2 place;
out vec4 pixel;
void main() { pixel = vec4(texture(picture, place).rgb, 1.0); }
"""

_LABEL_VERTEX = """
#version 330
uniform mat4 projection, model;
uniform mat3 turned;
uniform vec3 centre, axes;
in vec3 position;
in float region;
flat out uint part;
void main() {
    part = uint(region + 0.5);
    gl_Position = projection * model * vec4(centre + axes * (turned * position), 1.0);
}
"""

_LABEL_FRAGMENT = """
#version 330
uniform uint actor;
flat in uint part;
out uvec2 label;
void main() { label = uvec2(actor, part); }
"""


class Gl:
    """The context and its programs. Get it from `shared`; use it inside `current`."""

    def __init__(self) -> None:
        import moderngl

        self._egl = _egl()
        self._lock = threading.RLock()
        self._depth = 0
        before = self.handles()
        try:
            self.context: Any = moderngl.create_context(standalone=True, backend="egl", require=330)  # type: ignore[arg-type]
        except Exception as error:  # whatever the driver says, the remedy is one
            self._restore(before)
            raise EnvironmentProblem(
                f"no OpenGL 3.3 context without a display ({error}): install an EGL driver, "
                "e.g. `apt-get install libegl1 libgl1-mesa-dri`"
            ) from error
        self._own = self.handles()
        # What nobody refers to any more is freed by `current`, while the context is there for it.
        self.context.gc_mode = "context_gc"
        make: Callable[..., Any] = self.context.program
        self.surface = make(vertex_shader=_SURFACE_VERTEX, fragment_shader=_SURFACE_FRAGMENT)
        self.eye = make(vertex_shader=_EYE_VERTEX, fragment_shader=_EYE_FRAGMENT)
        self.backdrop = make(vertex_shader=_BACKDROP_VERTEX, fragment_shader=_BACKDROP_FRAGMENT)
        self.label = make(vertex_shader=_LABEL_VERTEX, fragment_shader=_LABEL_FRAGMENT)
        self._restore(before)

    @contextmanager
    def current(self) -> Iterator[Any]:
        """Make the context current for this thread; afterwards the former one is current again."""
        with self._lock:
            before = self.handles()
            self._restore(self._own)
            try:
                yield self.context
                self.context.gc()
            finally:
                self._restore(before)

    def handles(self) -> tuple[int | None, ...]:
        """Return display, surfaces and context that are current for this thread."""
        egl = self._egl
        return (
            egl.eglGetCurrentDisplay(), egl.eglGetCurrentSurface(_DRAW),
            egl.eglGetCurrentSurface(_READ), egl.eglGetCurrentContext(),
        )  # fmt: skip

    def _restore(self, handles: tuple[int | None, ...]) -> None:
        display, draw, read, context = handles
        if display is None:  # nobody's was current: release ours, so that another thread may take it
            display, draw, read, context = getattr(self, "_own", self.handles())[0], None, None, None
        if display is not None and not self._egl.eglMakeCurrent(display, draw, read, context):
            raise EnvironmentProblem(f"EGL refuses to change contexts (error {self._egl.eglGetError():#x})")


_shared: dict[int, Gl] = {}
_shared_lock = threading.Lock()


def shared() -> Gl:
    """Return the process' one context.

    Raises
    ------
    EnvironmentProblem
        When there is no EGL or no OpenGL 3.3.
    """
    with _shared_lock:
        pid = os.getpid()  # a forked child cannot use its parent's
        if pid not in _shared:
            _shared[pid] = Gl()
        return _shared[pid]


def projection(camera: Camera, size: tuple[int, int]) -> np.ndarray:
    """Return the matrix (4, 4) from the optical frame to clip space, image row 0 first in memory."""
    width, height = size
    a = (FAR_M + NEAR_M) / (FAR_M - NEAR_M)
    b = -2 * FAR_M * NEAR_M / (FAR_M - NEAR_M)
    return np.array(
        [
            [2 * camera.fx / width, 0, (2 * camera.cx + 1) / width - 1, 0],
            [0, 2 * camera.fy / height, (2 * camera.cy + 1) / height - 1, 0],
            [0, 0, a, b],
            [0, 0, 1, 0],
        ]
    )


def depth_from_buffer(buffer: np.ndarray) -> np.ndarray:
    """Return distances along the optical axis, m, of depth buffer values 0..1; NaN where nothing was drawn."""
    a = (FAR_M + NEAR_M) / (FAR_M - NEAR_M)
    b = -2 * FAR_M * NEAR_M / (FAR_M - NEAR_M)
    z = b / ((2.0 * buffer.astype(np.float64) - 1.0) - a)
    return np.where(buffer < 1.0, z, np.nan).astype(np.float32)


def put(program: Any, name: str, value: Any) -> None:
    """Set a uniform; matrices (row by row, as numpy has them) and vectors alike."""
    array = np.asarray(value, dtype="f4")
    if array.ndim == 2:
        program[name].write(np.ascontiguousarray(array.T).tobytes())
    else:
        program[name].value = tuple(array.tolist()) if array.ndim else float(array)


def _egl() -> Any:
    name = ctypes.util.find_library("EGL") or "libEGL.so.1"
    try:
        egl = ctypes.CDLL(name)
    except OSError as error:
        raise EnvironmentProblem(
            f"EGL is missing ({error}): install it, e.g. `apt-get install libegl1 libgl1-mesa-dri`"
        ) from error
    pointer = ctypes.c_void_p
    for function in ("eglGetCurrentDisplay", "eglGetCurrentContext"):
        getattr(egl, function).restype = pointer
    egl.eglGetCurrentSurface.restype, egl.eglGetCurrentSurface.argtypes = pointer, [ctypes.c_int]
    egl.eglMakeCurrent.argtypes = [pointer] * 4
    return egl
