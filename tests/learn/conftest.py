"""Demonstrations of the simulated expert, few and short, for all tests of learning."""

import pytest
import torch

from fabg.social.demonstrations import write_demonstrations
from tests.learn.tiny import TASKS


@pytest.fixture(scope="session")
def demos(tmp_path_factory):
    """A data set of two episodes of each task, one event each."""
    root = tmp_path_factory.mktemp("learn") / "demos"
    write_demonstrations(root, tasks=TASKS, episodes=2, seed=1, events=1)
    return root


@pytest.fixture(autouse=True)
def _one_thread():
    """The machine has other work, and small models gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
