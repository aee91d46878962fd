"""Which policy drives the robot of a demonstration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fabg.errors import ConfigError, ModelFileError
from fabg.policy.card import read_model
from fabg.policy.learnt import shipped_model
from fabg.policy.task_texts import task_index


@dataclass(frozen=True)
class Behaviour:
    """A policy by name; a learnt one with its model (None: the one that ships) and its task (None: its own)."""

    policy: str
    model: Path | None = None
    task: str | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """The policy node's parameters."""
        return {"policy": self.policy, "model": str(self.model or ""), "task": self.task or ""}


def behaviour(policy: str = "learnt", task: str | None = None) -> Behaviour:
    """Return what ``--policy`` and ``--task`` ask for.

    A missing model of the package itself is no error here: the graph falls back, and the report says so.

    Parameters
    ----------
    policy
        ``learnt``, ``mirror``, or the ONNX file of a learnt policy.
    task
        One that the model was trained for.

    Raises
    ------
    ConfigError
        For a policy that there is not, or a task that the model does not know.
    ModelFileError
        When the named model is missing, altered or of another layout.
    """
    if policy == "mirror":
        if task is not None:
            raise ConfigError(
                f"--task {task!r}: mirror knows no tasks; leave it out, or take --policy learnt"
            )
        return Behaviour("mirror")
    if policy != "learnt" and not policy.endswith(".onnx"):
        raise ConfigError(
            f"--policy {policy!r}: expected learnt, mirror, or an ONNX file made by `fabg export`"
        )
    model = None if policy == "learnt" else Path(policy).expanduser().resolve()
    try:
        _, card = read_model(model or shipped_model())
    except ModelFileError:
        if model is not None:
            raise
    else:
        if task is not None:
            task_index(task, card.layout.tasks)
    return Behaviour("learnt", model, task)
