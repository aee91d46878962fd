"""The policy node with a policy that behaves as the first face's id says, in place of the learnt one."""

import os
import sys
import threading

import numpy as np

from fabg import expression
from fabg.errors import ModelFileError
from fabg.nodes import policy as node
from fabg.policy.base import Chunk

SLOW_S = 0.3
GAZE, TIP, PALM = (slice(k, k + 3) for k in (0, 3, 6))
"""Where an answer tells what was seen of the first person's gaze and of the first hand."""


class OddPolicy:
    name = "learnt"

    def reset(self):
        pass

    def predict(self, observation):
        mood = observation.people[0].id if observation.people else "good"
        if mood == "raise":
            raise RuntimeError("a tensor is missing")
        if mood == "slow":
            threading.Event().wait(SLOW_S)
        if mood == "hang":
            threading.Event().wait()
        values = np.zeros((5, expression.SIZE))
        if observation.people and observation.people[0].gaze is not None:
            values[:, GAZE] = observation.people[0].gaze
        if observation.hands:
            values[:, TIP], values[:, PALM] = observation.hands[0].tip_m, observation.hands[0].position_m
        chunk = Chunk(values, observation.stamp_s, 0.02, self.name)
        if mood == "nan":
            values[2, 4] = np.nan
        return chunk


def _make(config):
    if config.model and not os.path.exists(config.model):
        raise ModelFileError(f"{config.model} is not there")
    return OddPolicy()


if __name__ == "__main__":
    node.POLICIES["learnt"] = _make
    sys.exit(node.main())
