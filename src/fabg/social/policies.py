"""Policies by name, for the commands of the simulator.

A file that ends in ``.py`` may bring one of your own: it defines ``make_policy()``, which returns an object with
`fabg.policy.base.Policy`'s three members. The file is run as a program: name only files that you trust.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from fabg import expression
from fabg.errors import ConfigError
from fabg.policy.base import Chunk, Observation, Policy
from fabg.policy.idle import IdlePolicy
from fabg.policy.imitator import ImitatorPolicy
from fabg.policy.mirror import MirrorPolicy
from fabg.social.stage import TICK_S

EXPERT = "expert"
"""Name under which the simulated expert drives the robot; it knows the truth and is no policy."""


class StillPolicy:
    """Do nothing: the neutral face, looking straight ahead. What every method must beat."""

    name = "still"

    def reset(self) -> None:
        """Forget nothing."""

    def predict(self, observation: Observation) -> Chunk:
        """Return one neutral expression."""
        return Chunk(np.zeros((1, expression.SIZE)), observation.stamp_s, TICK_S, self.name)


POLICIES: Mapping[str, Callable[[], Policy]] = {
    "mirror": MirrorPolicy,
    "imitator": ImitatorPolicy,
    "idle": IdlePolicy,
    "still": StillPolicy,
}


def make_policy(name: str) -> Policy:
    """Return a new policy by its name in `POLICIES`, or from a file.

    Raises
    ------
    ConfigError
        When there is none of that name, or the file is missing, fails, or makes no policy.
    """
    if name in POLICIES:
        return POLICIES[name]()
    if name.endswith(".py"):
        return _from_file(Path(name))
    known = ", ".join((EXPERT, *POLICIES))
    raise ConfigError(f"there is no policy {name!r}: expected one of {known}, or a file ending in .py")


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
