"""Two streams of messages with equal stamps, joined."""

from __future__ import annotations

from typing import Any

_MEMORY = 4


class Pairing:
    """Finds the message of each side that belongs together; keeps four of a side at most.

    Attributes
    ----------
    unmatched
        How many messages were let go without a partner.
    """

    def __init__(self) -> None:
        self.unmatched = 0
        self._waiting: tuple[dict[int, Any], dict[int, Any]] = ({}, {})
        self._last_ns = -1

    def add(self, side: int, message: Any) -> tuple[Any, Any] | None:
        """Return (left, right) when `message` completes a pair, else keep it.

        Parameters
        ----------
        side
            0 for left, 1 for right.
        message
            With a header.
        """
        stamp = message.header.stamp
        at_ns = stamp.sec * 10**9 + stamp.nanosec
        if at_ns < self._last_ns:  # a recording that began anew
            self.clear()
        own, other = self._waiting[side], self._waiting[1 - side]
        if at_ns in other:
            partner = other.pop(at_ns)
            self._last_ns = at_ns
            self._drop_older(at_ns)
            return (message, partner) if side == 0 else (partner, message)
        own[at_ns] = message
        while len(own) > _MEMORY:
            del own[min(own)]
            self.unmatched += 1
        return None

    def clear(self) -> None:
        """Forget what waits."""
        self.unmatched += sum(map(len, self._waiting))
        for waiting in self._waiting:
            waiting.clear()
        self._last_ns = -1

    def _drop_older(self, at_ns: int) -> None:
        for waiting in self._waiting:
            for key in [key for key in waiting if key <= at_ns]:
                del waiting[key]
                self.unmatched += 1
