"""vLLM on a GPU as a rollout engine: it follows the trainer's weights, and gives its memory back while the trainer works."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from klear_program import finish, rows, start

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "vllm"))

_SPEC = find_spec("vllm")
pytestmark = pytest.mark.skipif(_SPEC is None or _SPEC.origin is None, reason="vLLM is not installed")


def test_five_steps_with_vllm_keep_both_sides_on_the_same_weights(tmp_path: Path) -> None:
    from test_vllm_rollouts import PROFILE

    (tmp_path / "rollouts.toml").write_text(PROFILE)
    words = ("--stage", "sft,rl-math", "--profile", tmp_path / "rollouts.toml", "--run-dir", tmp_path / "run")
    outcome = finish(start(*words), timeout=400)
    assert outcome.code == 0, outcome.err[-6000:]
    steps = rows(tmp_path / "run" / "metrics" / "rl-math.jsonl")
    print("\nlargest and mean difference, nats:", [(round(row["logprob_gap"], 4), round(row["logprob_gap_mean"], 5)) for row in steps])
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5]
    assert sum(row["updates"] for row in steps) == 10
    assert max(row["logprob_gap_mean"] for row in steps) < 0.01  # bfloat16
    assert any(abs(row["ratio_max"] - 1) > 1e-2 for row in steps)  # the weights do move


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    """A model of 300 million parameters with random weights."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from klear_repro.data.tokenizer import train_tokenizer
    from klear_repro.device import choose_device
    from klear_repro.engines.vllm import VLLMEngine
    from klear_repro.models import find_model

    tokenizer = train_tokenizer(["<think>\n1+2=3 so 3\n</think>\n\n\\boxed{3}"], 400)
    torch.manual_seed(1)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=1024, num_hidden_layers=20, intermediate_size=3072, num_attention_heads=8,
        num_key_value_heads=4, head_dim=128, max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    made = VLLMEngine(find_model(str(tmp_path)), device=choose_device("cuda", "auto", 0), slots=64, logprobs=True, trained=True)
    yield made
    made.close()


def test_a_sleeping_engine_gives_its_memory_back_and_wakes_with_the_weights_it_is_given(engine: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from klear_repro.engines.base import Request, Sampling

    sampling = Sampling(temperature=1, top_p=1, top_k=0, min_p=0, repetition_penalty=1, max_new_tokens=32)
    prompt = tuple(engine.encode_chat([{"role": "user", "content": "1+2"}]))
    requests = [Request(number, prompt, seed=number) for number in range(16)]
    first = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    torch.manual_seed(2)
    for model in (first, AutoModelForCausalLM.from_config(first.config, dtype=torch.bfloat16)):  # asleep in between
        model.to("cuda")
        awake = torch.cuda.mem_get_info()[0]
        engine.sleep()
        asleep = torch.cuda.mem_get_info()[0]
        print(f"\nasleep, {(asleep - awake) / 2**30:.1f} GiB more are free")
        assert asleep - awake > 10 * 2**30
        engine.load_weights(model.named_parameters())
        worst = 0.0
        for one in engine.generate(requests, sampling):
            ids = torch.tensor([[*prompt, *one.token_ids]], device="cuda")
            with torch.no_grad():
                logp = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
            own = logp.gather(1, ids[0, len(prompt) :, None])[:, 0]
            worst = max(worst, float((own.cpu() - torch.tensor(one.logprobs)).abs().mean()))
        print(f"log-probabilities apart by {worst:.4f} nats on average, in the worst of 16 samples")
        assert worst < 0.05
