"""What the tasks are called: short names for commands, whole sentences for data sets and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fabg.errors import ConfigError

TASK_TEXTS: Mapping[str, str] = {
    "affective": "Answer a smile with a smile and surprise with surprise, as strong as they are.",
    "tracking": "Look at the person's face; when a hand is held out, look at the hand.",
    "foveate": "Follow the finger tip that comes near with both eyes.",
    "gesture": "Look where the hand points; look at a fist.",
    "mixed": "Attend to whoever addresses you, and answer.",
}


def name_of(text: str) -> str:
    """Return the short name of a sentence, or the sentence when it has none."""
    return next((name for name, known in TASK_TEXTS.items() if known == text), text)


def task_index(task: str, texts: Sequence[str]) -> int:
    """Return which of `texts` a task is, by its short name or its sentence.

    Raises
    ------
    ConfigError
        When it is none of them; the message lists them.
    """
    text = TASK_TEXTS.get(task, task)
    if text not in texts:
        known = ", ".join(name_of(t) for t in texts)
        raise ConfigError(f"the model was not trained for the task {task!r}: expected one of {known}")
    return list(texts).index(text)
