"""One training on several processes or machines, as ``torchrun`` starts them; alone when it did not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from fabg.errors import ConfigError


@dataclass(frozen=True)
class Team:
    """A process among `size`; number 0 writes files and talks."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes and talks."""
        return self.rank == 0

    def shared(self, model: nn.Module) -> nn.Module:
        """Return a module whose gradients are the mean over all processes."""
        return model if self.size == 1 else DistributedDataParallel(model)

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over all processes, the same in each."""
        if self.size == 1:
            return values
        total = values.detach().clone()
        distributed.all_reduce(total)
        return total / self.size

    def any(self, here: bool) -> bool:
        """Return whether it is so in any process: all of them must stop at the same step."""
        return bool(self.mean(torch.tensor(float(here), device=self.device)) > 0)


@contextmanager
def team(device: str) -> Iterator[Team]:
    """Join the processes that ``torchrun`` started, and leave them at the end.

    Raises
    ------
    ConfigError
        When CUDA is asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device is 'cuda', and torch sees no GPU: use auto or cpu, or install a CUDA build of torch"
        )
    on_gpu = device != "cpu" and torch.cuda.is_available()
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    chosen = torch.device(f"cuda:{local}") if on_gpu else torch.device("cpu")
    if size == 1:
        yield Team(0, 1, chosen)
        return
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Team(rank, size, chosen)
    finally:
        distributed.destroy_process_group()
