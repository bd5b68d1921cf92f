"""One node, several processes: `torchrun --nproc-per-node N -m klear_repro.run …`.

Every process runs the same loop.  The model is sharded by FSDP2 (arXiv 2304.11277, `torch.distributed.fsdp.fully_shard`):
each process keeps a slice of every weight, of its gradient and of its optimiser state, in float32; whole weights exist layer
by layer, in the data type of the run, while they are used.  Rollouts and micro-batches are shared out; what all must know
is exchanged; files are written by the first process.  On CUDA the backend is NCCL (tried with one process), on a CPU gloo.

A process alone is the same code with nothing to exchange.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, nn

from klear_repro.errors import RunError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Every `world`-th item, from the `rank`-th."""
        return list(items[self.rank :: self.world])

    def whole(self, mine: Sequence[Item]) -> list[Item]:
        """What `share` took apart, put together again; every process gets it."""
        if self.world == 1:
            return list(mine)
        parts: list[list[Item]] = [[] for _ in range(self.world)]
        torch.distributed.all_gather_object(parts, list(mine))
        count = sum(map(len, parts))
        return [parts[index % self.world][index // self.world] for index in range(count)]

    def all(self, value: Item) -> list[Item]:
        """The value of every process."""
        return self.whole([value])

    def told(self, value: Item) -> Item:
        """The value of the first process."""
        if self.world == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]


ALONE = Ranks()
PR_SET_PDEATHSIG = 1
"""<linux/prctl.h>"""
PATIENCE = timedelta(days=7)
"""How long processes wait for each other: the first one evaluates alone, and rollouts differ in length.  One that dies is
noticed by torchrun."""
REACHABLE = 60
"""How long torchrun may take to answer, seconds."""


def launched() -> bool:
    """Whether torchrun started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join() -> Ranks:
    """Meet the other processes; each takes its own CUDA device."""
    if not launched():
        return ALONE
    end_with_torchrun()
    backend = "gloo"
    if torch.cuda.is_available():  # CUDA only
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    torch.distributed.init_process_group(backend, timeout=PATIENCE)
    return Ranks(torch.distributed.get_rank(), torch.distributed.get_world_size())


def end_with_torchrun() -> None:
    """Be killed when the parent is: torchrun gives its processes sessions of their own, and they would hold the run folder for ever.

    Raises:
        RunError: torchrun ended before this process could ask for that.
    """
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":  # torchrun has it before it starts any process, and as long as it lives
        where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        try:
            socket.create_connection(where, timeout=REACHABLE).close()
        except OSError as error:
            raise RunError(f"torchrun does not answer at {where[0]}:{where[1]} ({error.strerror or error}); it has ended") from error


def leave() -> None:
    """Part from the other processes."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def shard(policy: nn.Module, dtype: torch.dtype) -> None:
    """Shard a model with FSDP2, layer by layer, in place; gradients become their mean over the processes.

    Args:
        policy: its weights in float32 (float64 in tests); every process has the same.
        dtype: of computation.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    device = next(policy.parameters()).device.type
    mesh = init_device_mesh(device, (torch.distributed.get_world_size(),))
    same = dtype == next(policy.parameters()).dtype
    precision = MixedPrecisionPolicy() if same else MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    blocks = [module for module in policy.modules() if isinstance(module, nn.ModuleList)]
    for layer in blocks[0]:
        fully_shard(layer, mesh=mesh, mp_policy=precision)
    fully_shard(policy, mesh=mesh, mp_policy=precision)


def whole(tensor: Tensor) -> Tensor:
    """A parameter with all of its parts; every process must ask."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
