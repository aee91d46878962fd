"""Policies by name, for the commands of the simulator.

A file that ends in ``.onnx`` is a learnt one, as `fabg export` writes it. One that ends in ``.py`` may bring your own:
it defines ``make_policy()``, which returns an object with `fabg.policy.base.Policy`'s three members. The file is run as
a program: name only files that you trust.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.errors import ConfigError
from fabg.policy.base import Chunk, Observation, Policy
from fabg.policy.idle import IdlePolicy
from fabg.policy.imitator import ImitatorConfig, ImitatorPolicy
from fabg.policy.learnt import LearntPolicy
from fabg.policy.memory import WatchConfig
from fabg.policy.mirror import MirrorPolicy
from fabg.social.avatar.poses import shapes_of
from fabg.social.partner import EMOTIONS
from fabg.social.senses import SensesConfig, load_senses
from fabg.social.stage import TICK_S

EXPERT = "expert"
"""Name under which the simulated expert drives the robot; it knows the truth and is no policy."""


LEAST_JITTER = 0.02
"""No shape is trusted more than one that jitters by this."""
USUAL_AMOUNT = 0.5
"""How strong expressions are, as a standard deviation: without evidence there is none."""


class StillPolicy:
    """Do nothing: the neutral face, looking straight ahead. What every method must beat."""

    name = "still"

    def reset(self) -> None:
        """Forget nothing."""

    def predict(self, observation: Observation) -> Chunk:
        """Return one neutral expression."""
        return Chunk(np.zeros((1, expression.SIZE)), observation.stamp_s, TICK_S, self.name)


def reading_of(senses: SensesConfig) -> NDArray[np.float64]:
    """Return what a face shows as a matrix (52, 52) on what is read of it.

    How much of a smile, of surprise and of speech explains the readings best, by least squares that weigh each shape by
    its gain and its jitter; from that all shapes follow, those too that perception hardly reads.
    """
    talk = np.zeros(expression.N_SHAPES)
    talk[expression.INDEX["jawOpen"]] = 1.0
    shown = np.stack([*(shapes_of(**full) for full in EMOTIONS.values()), talk], axis=1)
    gain = np.array(senses.shape_gain)[:, None]
    weight = 1.0 / np.maximum(senses.shape_jitter, LEAST_JITTER)[:, None] ** 2
    read = gain * shown
    amounts = np.linalg.solve(read.T @ (weight * read) + np.eye(3) / USUAL_AMOUNT**2, (weight * read).T)
    return np.asarray(shown @ amounts)


def _imitator() -> Policy:
    """Return the imitator, told how perception reads faces."""
    return ImitatorPolicy(ImitatorConfig(watch=WatchConfig(reading=reading_of(load_senses()))))


POLICIES: Mapping[str, Callable[[], Policy]] = {
    "mirror": MirrorPolicy,
    "imitator": _imitator,
    "idle": IdlePolicy,
    "still": StillPolicy,
}


LEARNT = "learnt"
"""Name of the learnt policy that comes with the package."""


def make_policy(name: str, task: str | None = None) -> Policy:
    """Return a new policy by its name in `POLICIES`, `LEARNT`, or from a file.

    Parameters
    ----------
    name
        As above.
    task
        What a learnt policy is asked to do, as for `fabg.policy.learnt.LearntPolicy`; the others do not ask.

    Raises
    ------
    ConfigError
        When there is none of that name, a file is missing, fails, or makes no policy, or it does not know the task.
    ModelFileError
        When a model cannot be used.
    """
    if name in POLICIES:
        return POLICIES[name]()
    if name == LEARNT or name.endswith(".onnx"):
        return LearntPolicy(None if name == LEARNT else name, task)
    if name.endswith(".py"):
        return _from_file(Path(name))
    known = ", ".join((EXPERT, LEARNT, *POLICIES))
    raise ConfigError(
        f"there is no policy {name!r}: expected one of {known}, or a file ending in .onnx or .py"
    )


def _from_file(path: Path) -> Policy:
    if not path.is_file():
        raise ConfigError(
            f"policy file {str(path)!r} is not there: expected a Python file with make_policy()"
        )
    spec = importlib.util.spec_from_file_location(f"fabg_policy_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        made = module.make_policy()
    except Exception as error:  # whatever somebody's file raises
        raise ConfigError(f"policy file {str(path)!r} fails with {type(error).__name__}: {error}") from error
    missing = [member for member in ("name", "reset", "predict") if not hasattr(made, member)]
    if missing:
        raise ConfigError(
            f"make_policy() of {str(path)!r} returned {type(made).__name__} without {', '.join(missing)}: "
            "expected name, reset() and predict(observation)"
        )
    policy: Policy = made
    return policy
