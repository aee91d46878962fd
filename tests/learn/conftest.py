"""Demonstrations of the simulated expert, few and short, for all tests of learning."""

import importlib.util

import pytest

from fabg.policy.task_texts import TASK_TEXTS
from fabg.social.demonstrations import write_demonstrations

if importlib.util.find_spec("torch") is None:  # an environment for running, not for training
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def demos(tmp_path_factory):
    """A data set of two episodes of each task, one event each."""
    root = tmp_path_factory.mktemp("learn") / "demos"
    write_demonstrations(root, tasks=tuple(TASK_TEXTS)[:4], episodes=2, seed=1, events=1)
    return root


@pytest.fixture(autouse=True)
def _one_thread():
    """The machine has other work, and small models gain nothing from more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
