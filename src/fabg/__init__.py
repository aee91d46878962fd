"""FABG: affective human-robot interaction for a 25-joint humanoid head.

The core (everything outside ``fabg.ros`` and ``fabg.nodes``) is plain Python: numpy arrays and
frozen dataclasses in and out, no ROS needed.
"""

__version__ = "0.1.0"
