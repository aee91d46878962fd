"""Several policies, the best first: when one fails the next answers, until it works again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from fabg.errors import ConfigError, FabgError, check_ranges
from fabg.policy.base import Chunk, Observation, Policy
from fabg.robot.commands import ease


@dataclass(frozen=True, kw_only=True)
class FallbackConfig:
    """How soon a policy that failed is trusted again. Times are those of the observations' stamps.

    Attributes
    ----------
    retry_s, retry_most_s
        A policy that failed is tried again after `retry_s`; the pause doubles with each failure, up to
        `retry_most_s`, and is short again once the policy has worked for longer than its last pause.
    good
        So many good answers in a row bring it back; until then they are only judged.
    blend_s
        Another policy takes over gradually.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    retry_s: float = 1.0
    retry_most_s: float = 30.0
    good: int = 5
    blend_s: float = 0.3

    def __post_init__(self) -> None:
        check_ranges(
            self,
            {
                "retry_s": (0.01, 600.0), "retry_most_s": (self.retry_s, 3600.0), "good": (1, 1000),
                "blend_s": (0.0, 5.0),
            },
        )  # fmt: skip


class Fallback:
    """Asks policies in order and takes the first answer of one that can be trusted.

    A policy fails when it cannot be made, raises, or answers with something that is no chunk of finite
    numbers; the next one answers the same observation. That there is nothing to do (None) is an answer.

    Parameters
    ----------
    makers
        What makes each policy, by name, the best first. One that cannot be made is made again when it is
        tried again; the last is tried always.
    config
        When to trust again.

    Attributes
    ----------
    in_charge
        Name of the policy that answered last; before the first answer, of the first that could be made.
    """

    name = "fallback"

    def __init__(
        self, makers: Mapping[str, Callable[[], Policy]], config: FallbackConfig | None = None
    ) -> None:
        if not makers:
            raise ConfigError("makers is empty: expected at least one policy")
        self.config = config or FallbackConfig()
        self._options = [_Option(name, make) for name, make in makers.items()]
        for option in self._options:
            try:
                option.made()
            except Exception as error:
                self._failed(option, error, -math.inf)
        self.in_charge = next((o for o in self._options if o.trouble is None), self._options[-1]).name
        self.reset()

    @property
    def troubles(self) -> dict[str, str]:
        """What is wrong with the policies that are not trusted now, by name."""
        return {option.name: option.trouble for option in self._options if option.trouble is not None}

    def reset(self) -> None:
        """Forget the past, but not who failed."""
        self._last: Chunk | None = None
        self._from: Chunk | None = None
        self._since_s = -math.inf
        for option in self._options:
            option.due_s = -math.inf
            try:
                if option.policy is not None:
                    option.policy.reset()
            except Exception as error:
                self._failed(option, error, -math.inf)

    def predict(self, observation: Observation) -> Chunk | None:
        """Return the answer of the best policy that can be trusted.

        Raises
        ------
        Exception
            That of the last policy, when none has an answer.
        """
        now_s = observation.stamp_s
        answers: list[tuple[_Option, Chunk | None]] = []
        for option in self._options:
            if option.trouble is not None and now_s < option.due_s and option is not self._options[-1]:
                continue
            try:
                chunk = _checked(option.made().predict(observation))
            except Exception as error:
                self._failed(option, error, now_s)
                failure = error
                continue
            answers.append((option, chunk))
            if self._trusted(option, now_s):
                return self._handed_over(option, chunk, now_s)
        if not answers:
            raise failure
        return self._handed_over(*answers[0], now_s)  # on trial, but there is no better

    def _failed(self, option: _Option, error: Exception, now_s: float) -> None:
        c = self.config
        steady = option.trouble is None and now_s - option.back_s > option.pause_s
        option.pause_s = (
            c.retry_s if steady or not option.pause_s else min(2.0 * option.pause_s, c.retry_most_s)
        )
        option.trouble = str(error) if isinstance(error, FabgError) else f"{type(error).__name__}: {error}"
        option.due_s, option.good = now_s + option.pause_s, 0

    def _trusted(self, option: _Option, now_s: float) -> bool:
        """Count a good answer; tell whether enough have come."""
        if option.trouble is not None:
            option.good += 1
            if option.good < self.config.good:
                return False
            option.trouble, option.back_s = None, now_s
        return True

    def _handed_over(self, option: _Option, chunk: Chunk | None, now_s: float) -> Chunk | None:
        """Return `chunk`, eased from what another policy has said last."""
        if option.name != self.in_charge:
            self.in_charge, self._from, self._since_s = option.name, self._last, now_s
        if chunk is None:
            return None
        if self._from is not None:
            times = chunk.t0_s + np.arange(len(chunk.values)) * chunk.dt_s
            weight = ease(times - self._since_s, self.config.blend_s)[:, None]
            before = np.array([self._from.at(t) for t in times])
            if weight[0] >= 1.0:
                self._from = None
            chunk = replace(chunk, values=(1.0 - weight) * before + weight * chunk.values)
        self._last = chunk
        return chunk


class _Option:
    def __init__(self, name: str, make: Callable[[], Policy]) -> None:
        self.name = name
        self._make = make
        self.policy: Policy | None = None
        self.trouble: str | None = None
        self.pause_s = 0.0
        self.due_s = self.back_s = -math.inf
        self.good = 0

    def made(self) -> Policy:
        if self.policy is None:
            self.policy = self._make()
        return self.policy


def _checked(chunk: Chunk | None) -> Chunk | None:
    # Made anew, it is checked anew: a policy may write into an array that it has handed out.
    return None if chunk is None else replace(chunk)
