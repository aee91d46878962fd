"""Seven basic emotions from the picture of a face, by a small convolutional network.

The network was trained by its authors on FER2013 (Goodfellow et al. 2013): 48 x 48 grey photographs in
which the face fills the picture. It reacts strongly to how a face is framed, so several views of
one face are read and the logarithms of their answers are averaged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import EnvironmentProblem, InputError, ModelFileError
from fabg.perception.models import find_model
from fabg.perception.noise import without_noise
from fabg.perception.roi import ALIGNED_LEFT_EYE, ALIGNED_RIGHT_EYE
from fabg.perception.types import EMOTIONS

SIDE_PX = 64
MIN_CROP_PX = 32
"""Smaller pictures of a face tell the network nothing."""

VIEWS: tuple[tuple[float, float], ...] = ((0.32, 0.36), (0.36, 0.40))
"""Distance and height of the eyes in each view, in fractions of its side; each is also read mirrored.

The package that ships the network cuts Haar boxes with a margin: eyes 0.29 to 0.33 apart at 0.42 to 0.43
(measured against landmarks). These two, a little tighter, agree best when the landmarks jitter.
"""

_FLOOR = 1e-4
"""No view may veto an emotion by itself."""


class EmotionNetwork:
    """The network on pictures as `fabg.perception.roi.aligned` makes them. Not thread-safe.

    Parameters
    ----------
    model_path
        The model file; None looks in the usual places.
    threads
        Threads of the inference.

    Raises
    ------
    ModelFileError
        When the model is missing, altered or cannot be loaded.
    EnvironmentProblem
        When LiteRT is not installed.
    """

    def __init__(self, *, model_path: str | Path | None = None, threads: int = 1) -> None:
        path = find_model("emotion", model_path)
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise EnvironmentProblem(f"LiteRT cannot be imported ({error}): run `make setup`") from error

        self._net: Any = None
        try:
            with without_noise():
                net = Interpreter(model_path=str(path), num_threads=threads)
                net.resize_tensor_input(
                    net.get_input_details()[0]["index"], [2 * len(VIEWS), SIDE_PX, SIDE_PX, 1]
                )
                net.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(f"model file {path} cannot be loaded by LiteRT: {error}") from error
        self._net = net
        self._input = net.get_input_details()[0]["index"]
        self._output = net.get_output_details()[0]["index"]

    def close(self) -> None:
        """Free the model; harmless when done twice."""
        self._net = None

    def read(self, aligned: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the probabilities of `EMOTIONS`, shape (7,), sum 1.

        The network's own order (angry, disgust, fear, happy, sad, surprise, neutral) is the same.

        Parameters
        ----------
        aligned
            A face with its eyes at fixed places (see `fabg.perception.roi.aligned`), square, RGB
            (side, side, 3) or grey (side, side), uint8, at least `MIN_CROP_PX` wide.

        Raises
        ------
        InputError
            When the picture is something else, or the network's answer is not finite.
        """
        if self._net is None:
            raise InputError("the emotion network is closed: make a new one")
        pixels = np.stack(views(aligned)).astype(np.float32)
        self._net.set_tensor(self._input, (pixels / 127.5 - 1.0)[..., None])
        self._net.invoke()
        answers = np.asarray(self._net.get_tensor(self._output), dtype=np.float64)
        if answers.shape != (2 * len(VIEWS), len(EMOTIONS)) or not np.isfinite(answers).all():
            raise InputError(
                f"the emotion network answered {answers}: expected {len(EMOTIONS)} probabilities"
            )
        mean = np.exp(np.log(np.maximum(answers, _FLOOR)).mean(axis=0))
        return np.asarray(mean / mean.sum())


def usable(aligned: object) -> bool:
    """Return whether a picture can be read at all: a square uint8 picture of at least `MIN_CROP_PX`."""
    return (
        isinstance(aligned, np.ndarray)
        and aligned.dtype == np.uint8
        and (aligned.ndim == 2 or (aligned.ndim == 3 and aligned.shape[2] == 3))
        and aligned.shape[0] == aligned.shape[1] >= MIN_CROP_PX
    )


def views(aligned: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return each of `VIEWS` and its mirror image, grey, shape (`SIDE_PX`, `SIDE_PX`) each.

    Raises
    ------
    InputError
        When the picture is not square, too small, or not uint8.
    """
    if not usable(aligned):
        what = (
            f"{aligned.dtype} {aligned.shape}" if isinstance(aligned, np.ndarray) else type(aligned).__name__
        )
        raise InputError(f"aligned face is {what}: expected a square uint8 picture, {MIN_CROP_PX} px or more")
    grey = aligned if aligned.ndim == 2 else cv2.cvtColor(aligned, cv2.COLOR_RGB2GRAY)
    side = grey.shape[0]
    given = ALIGNED_LEFT_EYE[0] - ALIGNED_RIGHT_EYE[0]
    found = []
    for distance, height in VIEWS:
        scale = SIDE_PX * distance / (side * given)
        # Half pixels: a side of n px reaches from -0.5 to n - 0.5.
        dx = (
            (scale - 1.0) / 2.0
            + SIDE_PX * 0.5
            - scale * side * (ALIGNED_LEFT_EYE[0] + ALIGNED_RIGHT_EYE[0]) / 2.0
        )
        dy = (scale - 1.0) / 2.0 + SIDE_PX * height - scale * side * ALIGNED_LEFT_EYE[1]
        shrunk = cv2.GaussianBlur(grey, (0, 0), 0.5 / scale) if scale < 0.75 else grey
        matrix = np.array([[scale, 0.0, dx], [0.0, scale, dy]])
        view = cv2.warpAffine(
            shrunk, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        found += [np.asarray(view, dtype=np.uint8), np.asarray(view[:, ::-1], dtype=np.uint8)]
    return found
