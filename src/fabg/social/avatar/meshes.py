"""Meshes on the graphics side: what is drawn of one person."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.perception.types import Side
from fabg.robot.surface import Points
from fabg.social.avatar import gl
from fabg.social.avatar.body_asset import PARTS, BodyAsset
from fabg.social.avatar.figure import Figure
from fabg.social.avatar.garments import Area, Garment, clothes, hair
from fabg.social.avatar.hand_model import HandModel
from fabg.social.avatar.paint import paint_hand, paint_head
from fabg.social.avatar.people import Person
from fabg.social.avatar.sleeve import SLEEVE_TRIANGLES, SLEEVE_VERTICES

FACE, SKIN, EYE, HAIR, CLOTH, LEFT_HAND, RIGHT_HAND = range(1, 8)
"""What a pixel shows, in the second channel of the label image; 0 is the background."""

_MOUTH, _TEETH, _TONGUE = (0.28, 0.10, 0.10), (0.88, 0.86, 0.80), (0.62, 0.30, 0.30)
_LOOK = "2f 3f 2f 1x4"  # texture coordinates, colour, (share of the sky, share of the texture), region


class Mesh:
    """One mesh whose vertices may be moved, and how each of them looks.

    Parameters
    ----------
    shared
        The context.
    triangles
        (t, 3).
    look
        Per vertex (n, 8): u, v, red, green, blue, share of the sky, share of the texture, region.
    """

    def __init__(self, shared: gl.Gl, triangles: NDArray, look: NDArray) -> None:
        context, count = shared.context, len(look)
        self._geometry = context.buffer(reserve=count * 24, dynamic=True)
        self._look = np.ascontiguousarray(look, dtype="f4")
        self._static = context.buffer(self._look.tobytes())
        index = context.buffer(np.ascontiguousarray(triangles, dtype="i4").tobytes())
        self.picture: Any = context.vertex_array(
            shared.surface,
            [
                (self._geometry, "3f 3f", "position", "normal"),
                (self._static, _LOOK, "uv", "colour", "look"),
            ],
            index,
        )
        self.label: Any = context.vertex_array(
            shared.label,
            [(self._geometry, "3f 3x4", "position"), (self._static, "7x4 1f", "region")],
            index,
        )
        self._buffer = np.empty((count, 6), "f4")
        self.corners = np.zeros((8, 3))
        """Of the box around the vertices as last written."""

    def write(self, positions: Points, normals: Points) -> None:
        """Move the vertices."""
        low, high = positions.min(axis=0), positions.max(axis=0)
        self.corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
        self._buffer[:, :3] = positions
        self._buffer[:, 3:] = normals
        self._geometry.write(self._buffer)

    def shade(self, sky: NDArray[np.float32]) -> None:
        """Change the share of the sky that each vertex sees."""
        self._look[:, 5] = sky
        self._static.write(self._look)


@dataclass(frozen=True, eq=False)
class Piece:
    """A mesh at its place in a picture: `model` carries it into the camera."""

    mesh: Mesh
    model: NDArray[np.float64]
    positions: Points | None = None
    normals: Points | None = None
    sky: NDArray[np.float32] | None = None
    gloss: float = 0.0
    softness: float = 0.0
    two_sided: bool = False

    @property
    def outline(self) -> NDArray:
        """Points (n, 3) whose hull holds the mesh, before `model`."""
        return self.mesh.corners if self.positions is None else self.positions


class Wardrobe:
    """One person's shape, meshes and paint."""

    def __init__(self, person: Person, body: BodyAsset, shared: gl.Gl) -> None:
        self.figure = Figure(person, body)
        self._body, self._shared = body, shared
        image = paint_head(person, body)
        height, width = image.shape[:2]
        self.texture = shared.context.texture(
            (width, height), 3, np.ascontiguousarray(image).tobytes(), alignment=1
        )
        self.texture.build_mipmaps()
        self.texture.filter = (0x2701, 0x2601)  # LINEAR_MIPMAP_NEAREST, LINEAR: the next costs much more
        self.bust = Mesh(shared, self.figure.bust.triangles, self._bust_look())
        self.clothes: dict[Area, Mesh] = {
            area: self._worn(garment, CLOTH) for area, garment in clothes(self.figure).items()
        }
        locks = hair(self.figure)
        self.hair = self._worn(locks, HAIR) if locks is not None else None
        self._hands: dict[Side, tuple[HandModel, Mesh]] = {}
        self._sleeves: dict[Side, Mesh] = {}

    def hand(self, side: Side) -> tuple[HandModel, Mesh]:
        """Return the left or right hand."""
        if side not in self._hands:
            model = HandModel(self._body, self.figure.vertices, side)
            look = np.zeros((len(model.mesh.rows), 8), np.float32)
            look[:, 2:5] = paint_hand(self.figure.person, model)
            look[:, 7] = LEFT_HAND if side is Side.LEFT else RIGHT_HAND
            self._hands[side] = model, Mesh(self._shared, model.mesh.triangles, look)
        return self._hands[side]

    def sleeve(self, side: Side) -> Mesh:
        """Return the mesh of a sleeve; each arm needs one of its own."""
        if side not in self._sleeves:
            look = np.zeros((SLEEVE_VERTICES, 8), np.float32)
            look[:, 2:5] = self.figure.person.shirt
            look[:, 5], look[:, 7] = 0.9, CLOTH
            self._sleeves[side] = Mesh(self._shared, SLEEVE_TRIANGLES, look)
        return self._sleeves[side]

    def _worn(self, garment: Garment, region: int) -> Mesh:
        look = np.zeros((len(garment.vertices), 8), np.float32)
        look[:, 2:5], look[:, 5], look[:, 7] = garment.colours, garment.sky, region
        mesh = Mesh(self._shared, garment.triangles, look)
        mesh.write(garment.vertices, garment.normals)
        return mesh

    def _bust_look(self) -> NDArray[np.float32]:
        bust, body = self.figure.bust, self._body
        look = np.zeros((len(bust.render), 8), np.float32)
        uv = body.uv[bust.render]
        inner = (body.inner_mouth[bust.render] > 0.5) & (bust.part == 0)
        look[:, :2], look[:, 2:5] = uv, self.figure.person.skin
        look[:, 5] = body.shade[bust.rows][bust.position_of]
        look[:, 6] = ((uv > 0) & (uv < 1)).all(axis=1) & (bust.part == 0) & ~inner
        look[inner, 2:5] = _MOUTH
        look[bust.part == PARTS.index("teeth"), 2:5] = _TEETH
        look[bust.part == PARTS.index("tongue"), 2:5] = _TONGUE
        look[inner | (bust.part > 0), 5] *= 0.6
        look[:, 7] = np.where(bust.is_face[bust.position_of], FACE, SKIN)
        return look
