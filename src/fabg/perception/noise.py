"""What model runtimes print on every start, and nobody can act upon, is kept off the terminal."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

_NOISE = re.compile(
    rb"InitGoogle|inference_feedback_manager|face_landmarker_graph|XNNPACK delegate|gl_context|"
    rb"landmark_projection_calculator"
)


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """Hold back what C++ code writes to stderr, and pass on all but the known noise afterwards."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        saved = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            rest = b"".join(line for line in held if not _NOISE.search(line))
            if rest:
                os.write(2, rest)
