"""Results on disk as they come, so that an interrupted run goes on where it stopped.

A journal is a text file of JSON lines. The first names the settings; each further one is the outcome of one piece
of work, known by its key:

    {"fabg_journal": 1, "settings": {"events": 20, ...}, "code": {"fabg": "0.1.0", ...}}
    {"key": "...", "seconds": 1.9, "scores": {"response_ms": 312.5, "success": 1.0, "dtw": null}}
    {"key": "...", "seconds": 0.1, "error": "InputError: ..."}

A line is on disk before `add` returns. A last line without its end was cut off in a crash and is taken away;
a scored key counts once, however often it stands there. The file is locked while it is open.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from fabg.errors import ConfigError, InputError

Scores = Mapping[str, float | None]

_BEGINNING = '{"fabg_journal": '
_FORMAT = 1


@dataclass(frozen=True)
class Outcome:
    """What became of one piece of work.

    Attributes
    ----------
    key
        Which it was.
    seconds
        How long it took, s of real time.
    scores
        Its result: finite numbers, None for what does not exist in it; None when it failed.
    error
        What went wrong; None when it did not.
    """

    key: str
    seconds: float
    scores: Scores | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.key, str):
            raise InputError(f"the key of an outcome is {self.key!r}: expected a text")
        if (self.scores is None) == (self.error is None):
            raise InputError(
                f"outcome of {self.key} has scores {self.scores}, error {self.error}: expected one"
            )
        if self.scores is not None:
            object.__setattr__(self, "scores", checked_scores(self.scores))

    def line(self) -> str:
        """Return it as a line of the journal."""
        said = {"error": self.error} if self.scores is None else {"scores": dict(self.scores)}
        return (
            json.dumps({"key": self.key, "seconds": round(self.seconds, 3), **said}, allow_nan=False) + "\n"
        )


def checked_scores(scores: object) -> dict[str, float | None]:
    """Return scores as plain floats.

    Raises
    ------
    InputError
        When they are not a mapping from names to finite numbers or None; the message names the first.
    """
    if not isinstance(scores, Mapping):
        raise InputError(f"scores are a {type(scores).__name__}: expected a mapping from names to numbers")
    plain: dict[str, float | None] = {}
    for name, value in scores.items():
        if not isinstance(name, str):
            raise InputError(f"the name of a score is {name!r}: expected a text")
        try:
            if isinstance(value, str | bytes):
                raise TypeError("a text")
            plain[name] = None if value is None else float(value)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"score {name} is {value!r}: expected a finite number or None") from None
        number = plain[name]
        if number is not None and not math.isfinite(number):
            raise InputError(f"score {name} is {number}: expected a finite number or None")
    return plain


class Journal:
    """The outcomes of a run, kept in a file that is locked until `close`.

    Parameters
    ----------
    path
        The file; it is made when it is not there.
    settings
        Whatever changes a result and is not part of a key; plain values that JSON can hold.
    code
        Names and versions of what makes the results.

    Raises
    ------
    ConfigError
        When the file is no journal, belongs to other settings or other code, or is in use.
    InputError
        When a line in its middle is damaged.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, Any], code: Mapping[str, str] | None = None
    ) -> None:
        self.path = path
        header = {"settings": _plain(settings, "settings"), "code": _plain(code or {}, "code")}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise ConfigError(
                f"the journal {str(path)!r} cannot be written ({error.strerror}): name another place"
            ) from error
        try:
            self._lock()
            self._outcomes = self._begin(header)
        except BaseException:
            self._file.close()
            raise

    def outcome(self, key: str) -> Outcome | None:
        """Return the last word on a piece of work: scores if there are any, else the last error."""
        return self._outcomes.get(key)

    def done(self, key: str) -> bool:
        """Whether there are scores; what failed is not done."""
        outcome = self.outcome(key)
        return outcome is not None and outcome.scores is not None

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome; it is on disk when this returns.

        Raises
        ------
        InputError
            When that work has been scored already.
        """
        if self.done(outcome.key):
            raise InputError(f"{outcome.key} is in the journal already: a result counts once")
        self._write(outcome.line())
        self._outcomes[outcome.key] = outcome

    def close(self) -> None:
        """Let the file go; harmless when it was done before."""
        self._file.close()

    def __enter__(self) -> Journal:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel undoes it however we end
        except BlockingIOError:
            raise ConfigError(
                f"the journal {str(self.path)!r} is in use by another run: "
                "wait until that has ended, or name another journal"
            ) from None

    def _begin(self, header: Mapping[str, Any]) -> dict[str, Outcome]:
        """Read what is there; take away a last line that was cut off; write the header of a new file."""
        self._file.seek(0)
        content = self._file.read()
        start = content[: len(_BEGINNING)]
        if start != _BEGINNING.encode()[: len(content)]:
            raise ConfigError(
                f"{str(self.path)!r} is not a journal of results: name another file, it is left as it is"
            )
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            self._file.truncate(len(whole))
        lines = whole.splitlines()
        if not lines:
            self._write(json.dumps({"fabg_journal": _FORMAT, **header}) + "\n")
            _sync_folder(self.path.parent)
            return {}
        self._compare(self._parsed(lines[0], 1), header)
        outcomes: dict[str, Outcome] = {}
        for number, line in enumerate(lines[1:], 2):
            entry = self._parsed(line, number)
            try:
                outcome = Outcome(entry["key"], entry["seconds"], entry.get("scores"), entry.get("error"))
            except (KeyError, InputError) as error:
                raise self._damaged(number) from error
            before = outcomes.get(outcome.key)
            if before is None or before.scores is None:
                outcomes[outcome.key] = outcome
        return outcomes

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise self._damaged(number) from error
        if not isinstance(entry, dict):
            raise self._damaged(number)
        return entry

    def _damaged(self, number: int) -> InputError:
        return InputError(
            f"line {number} of the journal {str(self.path)!r} is damaged: remove that line to work it out again, "
            "or name another journal to begin anew"
        )

    def _compare(self, there: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        if there.get("fabg_journal") != _FORMAT:
            raise ConfigError(
                f"the journal {str(self.path)!r} has format {there.get('fabg_journal')}: "
                f"expected {_FORMAT}; name another journal"
            )
        for part, remedy in (
            ("settings", "give the same settings to go on, or name another journal to begin anew"),
            ("code", "results of different code are not mixed: name another journal to begin anew"),
        ):
            old, new = there.get(part), now[part]
            if old == new:
                continue
            old = old if isinstance(old, dict) else {}
            names = [n for n in sorted({*old, *new}) if n not in old or n not in new or old[n] != new[n]]
            told = "; ".join(f"{n} is {_said(new, n)}, in the journal {_said(old, n)}" for n in names)
            raise ConfigError(f"the journal {str(self.path)!r} was begun otherwise: {told}; {remedy}")

    def _write(self, line: str) -> None:
        handle, rest = self._file.fileno(), line.encode()
        size = os.fstat(handle).st_size
        try:
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        except OSError as error:
            os.ftruncate(handle, size)  # else the next line would be glued to a part of this one
            raise ConfigError(
                f"the journal {str(self.path)!r} cannot be written ({error.strerror}): make room, "
                "then start again; what is in it is kept"
            ) from error


def _plain(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return values as they come back from JSON, so that they compare equal."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(values), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} cannot be written as JSON ({error}): expected plain values") from error
    return plain


def _said(values: Mapping[str, Any], name: str) -> str:
    return json.dumps(values[name]) if name in values else "not given"


def _sync_folder(folder: Path) -> None:
    """See that a new file's name is on disk, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
