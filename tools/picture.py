"""Make a picture for the documentation: moments of a demo.mp4, one below the other.

fabg demo --hide-people --out runs/picture
python tools/picture.py runs/picture/demo.mp4 7.7 11.7 docs/media/mirror.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from fabg.video import frames_at


def main() -> None:
    """Read the arguments: video, one or more times in s, output PNG."""
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    video, *times, out = sys.argv[1:]
    frames = frames_at(Path(video), [float(t) for t in times])
    if not cv2.imwrite(out, np.vstack(frames)[..., ::-1]):
        sys.exit(f"{out} cannot be written: expected a path that ends in .png, in a folder that exists")


if __name__ == "__main__":
    main()
