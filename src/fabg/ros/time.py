"""Stamps as seconds and back."""

from __future__ import annotations

from builtin_interfaces.msg import Time


def seconds(stamp: Time) -> float:
    """Return a stamp as s."""
    return stamp.sec + stamp.nanosec * 1e-9


def stamp(seconds_: float) -> Time:
    """Return s as a stamp, rounded to ns."""
    total = round(seconds_ * 1e9)
    return Time(sec=total // 1_000_000_000, nanosec=total % 1_000_000_000)
