"""Several processes that learn as one: torchrun's environment, and the few things the processes must agree on."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn

from melodygen.errors import UsageError


@dataclass(frozen=True)
class DistributedContext:
    """``rank`` of this process among ``size``; rank 0 reads, writes and speaks."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process reads, writes and reports."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            distributed.barrier()

    def any(self, flag: bool) -> bool:
        """Whether it is so in one of the processes."""
        if self.size == 1:
            return flag
        told = torch.tensor([float(flag)])
        if distributed.get_backend() == "nccl":
            told = told.cuda()
        distributed.all_reduce(told, distributed.ReduceOp.MAX)
        return bool(told.item() > 0)

    def wrap(self, net: nn.Module) -> nn.Module:
        """The net as it is called to learn: gradients become the mean over all processes."""
        return net if self.size == 1 else nn.parallel.DistributedDataParallel(net)


def choose_device(name: str) -> torch.device:
    """``auto`` is cuda, mps or cpu, whichever is there first. Raises UsageError for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = name.split(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise UsageError(f"--device {name!r} is not known; known: auto, cpu, cuda, cuda:N, mps")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[kind]
    if not there:
        raise UsageError(
            f"--device {name}: torch {torch.__version__} finds no such device here; --device cpu works"
        )
    if kind == "cuda" and "LOCAL_RANK" in os.environ and ":" not in name:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    return torch.device(name)


@contextmanager
def join_processes(device: torch.device) -> Iterator[DistributedContext]:
    """The processes torchrun started, or this one alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield DistributedContext()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield DistributedContext(distributed.get_rank(), size)
        distributed.barrier()  # one that leaves while another still writes would take the connection with it
    finally:
        gc.collect()  # a net wrapped to learn together holds the group: its threads must end before the process
        distributed.destroy_process_group()
