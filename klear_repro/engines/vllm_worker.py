"""What a vLLM server needs to follow a trainer: `vllm serve … --worker-extension-cls klear_repro.engines.vllm_worker.WeightReceiver`.

vLLM mixes the class into its worker, in the server's processes; nothing here is imported by the trainer.
"""

from __future__ import annotations

from typing import Any

import torch


class WeightReceiver:
    """Methods that the trainer calls through `POST /collective_rpc`."""

    model_runner: Any

    def load_trained(self, file: str) -> str:
        """Take over all weights of a safetensors file, names as on the Hub; returns how many there were."""
        from safetensors.torch import load_file

        weights = load_file(file)
        self.model_runner.reload_weights(weights_iterator=iter(weights.items()))
        repack_tied_head(self.model_runner.get_model())
        return f"{len(weights)} tensors"


def repack_tied_head(model: torch.nn.Module) -> None:
    """The CPU build computes logits with a packed copy of the head's weight, which a reload leaves stale where it is the embedding's."""
    head: Any = getattr(model, "lm_head", None)
    config: Any = model.config
    if head is None or head.weight.device.type != "cpu" or not config.tie_word_embeddings:
        return
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    dispatch_cpu_unquantized_gemm(head, remove_weight=False)
