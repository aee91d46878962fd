"""Every error that this package raises on purpose.

    FabgError
    ├── UsageError          the caller can mend it: wrong file, wrong value, wrong configuration
    │   ├── ConfigError         a configuration value or file is not acceptable
    │   ├── InputError          a camera, video, image or message cannot be used
    │   └── ModelFileError      a model or asset file is missing, altered or unreadable
    ├── SourceLost          an image source that worked has gone (in fabg.perception.sources)
    ├── CommandRefused      a motion command was refused at the door (NaN, wrong length, stale, ...)
    └── EnvironmentProblem  the machine lacks something: GL, ROS, a system package

Each message names the value, what was expected, and the remedy.
"""

from collections.abc import Mapping


class FabgError(Exception):
    """Base of all errors of this package."""


class UsageError(FabgError, ValueError):
    """The caller can mend this by passing something else."""


class ConfigError(UsageError):
    """A configuration value or file is not acceptable."""


class InputError(UsageError):
    """A camera, video, image or message cannot be used."""


class ModelFileError(UsageError):
    """A model or asset file is missing, altered or unreadable."""


class CommandRefused(FabgError):
    """A motion command was refused before it could move anything."""


class EnvironmentProblem(FabgError):
    """The machine lacks something that the suite needs."""


def check_ranges(config: object, ranges: Mapping[str, tuple[float, float]]) -> None:
    """See that the attributes named in `ranges` are numbers within (low, high), both included.

    Raises
    ------
    ConfigError
        For the first that is not (NaN never is); the message quotes it.
    """
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        if not low <= value <= high:
            raise ConfigError(f"{name} is {value}: expected {low} to {high}")
