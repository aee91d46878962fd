"""A policy that was learnt from demonstrations, from an ONNX file.

It is shown what was seen until now and says what the demonstrator would do from the time of the newest image on: since
people answer late, much of that can be known. It knows no clock; when to play which expression is the executor's task.
"""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.errors import CommandRefused, ModelFileError
from fabg.policy import features
from fabg.policy.base import Chunk, Observation
from fabg.policy.card import ModelCard, read_model
from fabg.policy.history import History
from fabg.policy.observation import encode
from fabg.policy.task_texts import TASK_TEXTS, task_index

if TYPE_CHECKING:
    import onnxruntime

RESTART_S = 2.0
"""Stamps that jump by more than this, forth or back, begin anew."""


def shipped_model() -> Path:
    """Return the model that comes with the package."""
    return Path(str(files("fabg.policy").joinpath("data/social.onnx")))


class LearntPolicy:
    """Do what was learnt. See `fabg.policy.base.Policy` and `PrefixPolicy`.

    Parameters
    ----------
    model
        ONNX file with its card beside it; None: the one that comes with the package.
    task
        One that the model was trained for, by short name or sentence; None: "mixed" when it knows it, else its first.

    Attributes
    ----------
    card
        What is known of the model.

    Raises
    ------
    ModelFileError
        When the model is missing, altered, or of another layout.
    ConfigError
        When the model was not trained for the task.
    """

    name = "learnt"

    def __init__(self, model: Path | str | None = None, task: str | None = None) -> None:
        data, self.card = read_model(shipped_model() if model is None else Path(model).expanduser())
        layout = self.card.layout
        if task is None:
            task = TASK_TEXTS["mixed"] if TASK_TEXTS["mixed"] in layout.tasks else layout.tasks[0]
        self._session = _session(data, self.card)
        self._feed: dict[str, NDArray[Any]] = {
            name: np.zeros(shape, np.float32) for name, shape in layout.shapes().items()
        }
        self._feed["task"][0, task_index(task, layout.tasks)] = 1.0
        self._history = History(layout.history_steps, layout.history_step_s)
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._history.reset()
        self._newest_s = -math.inf
        self._chunk: Chunk | None = None

    def watch(self, observation: Observation) -> None:
        """Remember an observation; one that is not newer than the last is passed over.

        Raises
        ------
        CommandRefused
            When the stamp is not finite.
        """
        stamp_s = observation.stamp_s
        if not math.isfinite(stamp_s):
            raise CommandRefused(f"stamp is {stamp_s}: expected a finite time in s")
        if abs(stamp_s - self._newest_s) > RESTART_S:
            self.reset()
        if stamp_s > self._newest_s:
            self._newest_s = stamp_s
            if self.card.layout.sees_features:
                self._history.add(stamp_s, features.rows(encode(observation, stamp_s)))

    def predict(self, observation: Observation) -> Chunk:
        """Return what to do from ``observation.stamp_s`` on.

        An observation that is not newer than the last one changes nothing: the last chunk is returned again.

        Raises
        ------
        CommandRefused
            When the stamp is not finite, or the model's answer is not; the past is forgotten then.
        """
        return self.predict_after(observation, None)

    def predict_after(self, observation: Observation, committed: Chunk | None) -> Chunk:
        """Return what to do, going on from what is sure to be done: `committed` begins at the stamp or before.

        Raises
        ------
        CommandRefused
            As in `predict`.
        """
        self.watch(observation)
        if self._chunk is not None and observation.stamp_s <= self._chunk.t0_s:
            return self._chunk
        try:
            self._look(observation)
            self._put_prefix(committed, self._newest_s)
            (values,) = self._session.run(["actions"], self._feed)
            self._chunk = Chunk(_within(values[0]), self._newest_s, self.card.layout.dt_s, self.name)
        except Exception:
            self.reset()  # NaN that was seen would spoil every answer until it is too old
            raise
        return self._chunk

    def _look(self, observation: Observation) -> None:
        layout = self.card.layout
        if layout.sees_features:
            self._feed["history"][0] = self._history.window()
        if layout.sees_pictures:
            from fabg.policy.pictures import prepare

            if observation.images is None:
                raise CommandRefused(
                    "the model looks at images, and the observation has none: let it see rgbd"
                )
            size = (layout.picture_height, layout.picture_width)
            for name, value in prepare(observation.images, size).items():
                if name in self._feed:
                    self._feed[name][0] = value

    def _put_prefix(self, committed: Chunk | None, stamp_s: float) -> None:
        prefix, mask = self._feed["prefix"][0], self._feed["prefix_mask"][0]
        mask[:] = 0.0
        if committed is None:
            return
        dt_s = self.card.layout.dt_s
        # The last expression must stay free, or there would be nothing to say.
        count = min(math.floor((committed.end_s - stamp_s) / dt_s + 1e-3) + 1, len(prefix) - 1)
        for k in range(count):
            prefix[k] = committed.at(stamp_s + k * dt_s)
        mask[: max(count, 0)] = 1.0


def _session(data: bytes, card: ModelCard) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread that sleeps when it waits: the other nodes need the cores.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has its own, undocumented kinds
        raise ModelFileError(f"the model {card.name!r} cannot be loaded ({error}): export it anew") from error
    layout = card.layout
    wanted = layout.shapes() | {"actions": (1, layout.chunk_steps, layout.action_size)}
    found = {item.name: tuple(item.shape) for item in (*session.get_inputs(), *session.get_outputs())}
    if found != wanted:
        raise ModelFileError(
            f"the model {card.name!r} takes and gives {found}: its card says {wanted}; export it anew"
        )
    return session


def _within(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return expressions with shapes from 0 to 1; NaN stays, to be refused."""
    out = np.asarray(values, dtype=np.float64)
    shapes = out[:, : expression.N_SHAPES]
    np.clip(shapes, 0.0, 1.0, out=shapes)
    return out
