"""Put pictures side by side, two in a row.

montage.py PICTURE... OUT.png
"""

from __future__ import annotations

import sys

import cv2
import numpy as np


def main(paths: list[str], out: str) -> None:
    """Read, scale to one size, join, write."""
    pictures = [cv2.imread(path) for path in paths]
    for path, picture in zip(paths, pictures, strict=True):
        if picture is None:
            sys.exit(f"{path} is not a picture that can be read")
    height, width = pictures[0].shape[:2]
    tiles = [cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in pictures]
    if len(tiles) % 2:
        tiles.append(np.full_like(tiles[0], 255))
    rows = [np.hstack(pair) for pair in zip(tiles[::2], tiles[1::2], strict=True)]
    if not cv2.imwrite(out, np.vstack(rows), [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        sys.exit(f"{out} cannot be written")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1:-1], sys.argv[-1])
