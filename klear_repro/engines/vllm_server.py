"""The engine `vllm-server`: rollouts by vLLM servers that take over the trainer's weights before every step.

Each server is vLLM's own, started with a worker that can load what the trainer wrote:

    VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --logprobs-mode processed_logprobs \\
        --worker-extension-cls klear_repro.engines.vllm_worker.WeightReceiver

Weights travel as one safetensors file through a folder that trainer and servers see, on one node best in memory (/dev/shm);
a server reads it when `POST /collective_rpc` asks it to, then forgets what it had cached of prompts.  vLLM's own transfer
over NCCL or CUDA IPC is not used: it needs GPUs on both sides.  Tested with the CPU build of vLLM 0.32.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from klear_repro.engines.base import Completion, Request, Sampling
from klear_repro.engines.openai import OpenAIEngine, _Passing, _short
from klear_repro.errors import RunError
from klear_repro.files import new_file_mode
from klear_repro.models import ModelSource

FILE = "model.safetensors"
LONGEST_TRANSFER_S = 1800.0


class VLLMServerEngine(OpenAIEngine):
    """Rollouts through HTTP servers, with token ids and their log-probabilities.

    Args:
        source: where the tokenizer is.
        endpoints: base addresses, such as `http://127.0.0.1:8000/v1`.
        folder: where weights are written for the servers; every server must see it under this path.
        slots: requests under way at a time, over all endpoints.
        section: of the configuration, for messages.

    Raises:
        UserError: an address that is none, no answer from any endpoint.
    """

    name = "vllm-server"

    def __init__(self, source: ModelSource, *, endpoints: Sequence[str], folder: Path, slots: int, section: str) -> None:
        super().__init__(source, endpoints=endpoints, slots=slots, section=section)
        self._folder = folder

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Have every server take over weights: names as on the Hub, whole tensors.

        Raises:
            RunError: a server did not load them; the message says how it must be started.
        """
        from safetensors.torch import save_file

        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".{FILE}.{os.getpid()}"
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights}, temporary)
        temporary.chmod(new_file_mode(self._folder))  # servers may run as another user
        temporary.replace(self._folder / FILE)
        asyncio.run(self._reload())

    def sleep(self) -> None:
        """Nothing: the servers have their memory to themselves."""

    async def _reload(self) -> None:
        import aiohttp

        order = {"method": "load_trained", "kwargs": {"file": str((self._folder / FILE).resolve())}}
        timeout = aiohttp.ClientTimeout(total=LONGEST_TRANSFER_S)
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session:

            async def ask(root: str) -> None:
                for path, body in (("collective_rpc", order), ("reset_prefix_cache", None)):
                    try:
                        async with session.post(f"{root}/{path}", json=body) as answer:
                            status, text = answer.status, await answer.text()
                    except (aiohttp.ClientError, TimeoutError) as error:
                        raise RunError(f"{root} did not take over the weights: {type(error).__name__} {_short(error)}; the last checkpoint is kept") from None
                    if status != 200:
                        raise RunError(
                            f"{root} answers {status} to /{path} ({_short(text)}): it must be vLLM, started with VLLM_SERVER_DEV_MODE=1 and "
                            "--worker-extension-cls klear_repro.engines.vllm_worker.WeightReceiver; the last checkpoint is kept"
                        )

            results = await asyncio.gather(*(ask(endpoint.url.removesuffix("/v1")) for endpoint in self.endpoints), return_exceptions=True)
        for result in results:  # only when all have ended: none is still loading
            if isinstance(result, BaseException):
                raise result

    def _body(self, request: Request, sampling: Sampling) -> dict[str, Any]:
        body = super()._body(request, sampling)
        return body | {"logprobs": 0, "return_token_ids": True, "skip_special_tokens": True, "stop_token_ids": sorted(self.stop_ids)}

    def _completion(self, request: Request, sampling: Sampling, body: Any, seconds: float) -> Completion:
        whole = super()._completion(request, sampling, body, seconds)
        choice = body["choices"][0]
        try:
            tokens = tuple(int(token) for token in choice["token_ids"])
            logprobs = tuple(float(value) for value in choice["logprobs"]["token_logprobs"])
        except (KeyError, TypeError, ValueError) as error:
            raise _Passing(f"an answer without token ids or log-probabilities ({type(error).__name__}: {_short(error)})") from None
        if len(tokens) != whole.token_count or len(logprobs) != len(tokens):
            raise _Passing(f"an answer of {whole.token_count} tokens with {len(tokens)} ids and {len(logprobs)} log-probabilities")
        return Completion(
            tag=whole.tag, token_ids=tokens, logprobs=logprobs, text=self._chat.decode(tokens),
            finish_reason=whole.finish_reason, seconds=seconds,
        )  # fmt: skip
