"""log π, entropy and gradients of one sequence, by the chunked head or the plain way, as a process: JSON on standard output.

python head_rivals.py chunked|plain TOKENS FOLDER → {"seconds": …, "extra_mb": …}; gradients go to FOLDER/WAY.safetensors.
`extra_mb` is the growth of the process's peak resident memory, MiB, over what it holds once hidden states, weight and targets
are there; the gradients of both are part of it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from klear_repro.training.chunked_head import token_logprobs

VOCABULARY, WIDTH = 151_936, 1024


def plain(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """All logits at once, as thriftily as that can be written: three times their size at the worst moment."""
    logp = (hidden @ weight.t()).log_softmax(-1)
    with torch.no_grad():
        entropy = -torch.linalg.vecdot(logp.exp(), logp)
    return logp.gather(1, targets[:, None])[:, 0], entropy


def peak_mb() -> float:
    """Of this process alone: `ru_maxrss` begins with the peak of the process that started it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def forget_the_peak() -> None:
    """The peak is what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def main(way: str, tokens: int, folder: Path) -> dict[str, float]:
    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, WIDTH, generator=generator).requires_grad_()
    weight = (torch.randn(VOCABULARY, WIDTH, generator=generator) * 0.05).requires_grad_()
    targets = torch.randint(VOCABULARY, (tokens,), generator=generator)
    upstream = torch.randn(tokens, generator=generator) / tokens
    for _ in range(2):  # threads and libraries
        token_logprobs(hidden[:16], weight[:64], targets[:16] % 64, chunk=16)
    forget_the_peak()
    before, began = peak_mb(), time.perf_counter()
    logp, entropy = token_logprobs(hidden, weight, targets) if way == "chunked" else plain(hidden, weight, targets)
    (logp * upstream).sum().backward()
    found = {"seconds": time.perf_counter() - began, "extra_mb": peak_mb() - before, "entropy": float(entropy.mean())}
    assert hidden.grad is not None
    assert weight.grad is not None
    save_file({"hidden": hidden.grad, "weight": weight.grad, "logp": logp.detach()}, folder / f"{way}.safetensors")
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))
