"""The path of a reach or a saccade: minimum jerk (Flash and Hogan, J. Neurosci. 5, 1985)."""


def minimum_jerk(s: float) -> float:
    """Return the share of the way done at the share `s` of the time; 0 before and 1 after.

    The speed is a bell, 30 s^2 (1 - s)^2, whose height is 1.875 times the mean speed.
    """
    if s <= 0.0:
        return 0.0
    if s >= 1.0:
        return 1.0
    return s * s * s * (10.0 + s * (6.0 * s - 15.0))
