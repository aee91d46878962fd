"""Make a picture for the documentation: moments of a video, one below the other, at most so wide.

fabg demo --hide-people --out runs/picture
python tools/picture.py runs/picture/demo.mp4 7.7 11.7 docs/media/mirror.png
python tools/picture.py runs/perceived/perceive.mp4 3.6 docs/media/perceive.png 1024
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from fabg.video import frames_at


def main() -> None:
    """Read the arguments: video, one or more times in s, output PNG, width in px if it is to be reduced."""
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    arguments = sys.argv[1:]
    width = int(arguments.pop()) if arguments[-1].isdigit() else None
    video, *times, out = arguments
    picture = np.vstack(frames_at(Path(video), [float(t) for t in times]))
    if width is not None and width < picture.shape[1]:
        size = width, round(picture.shape[0] * width / picture.shape[1])
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    if not cv2.imwrite(out, picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        sys.exit(f"{out} cannot be written: expected a path that ends in .png, in a folder that exists")


if __name__ == "__main__":
    main()
