"""The simulator as a Gymnasium environment. Importing this module makes ``SocialHead-v0`` known.

    import gymnasium
    import fabg.gym

    env = gymnasium.make("SocialHead-v0", task="tracking")
    observation, info = env.reset(seed=7)
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())

``gymnasium.make("fabg.gym:SocialHead-v0")`` imports it by itself, in worker processes too.
"""

from __future__ import annotations

import gymnasium

ENV_ID = "SocialHead-v0"

if ENV_ID not in gymnasium.registry:
    gymnasium.register(ENV_ID, entry_point="fabg.social.env:SocialHeadEnv")
