"""AdamW on float32 masters, gradients that are not finite, LoRA layers that leave as plain weights."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from klear_repro.errors import UserError
from klear_repro.training.lora import add_lora, hub_tensors
from klear_repro.training.optim import Optimizer
from klear_repro.training.packing import Policy, pack

PAIRS = [([1, 2, 3], [4, 5, 6, 7]), ([8], [9, 10]), ([11] * 9, [12, 13, 14])]


def small_model(dtype: torch.dtype = torch.float32) -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    sizes = {"vocab_size": 53, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "num_attention_heads": 4}
    return Qwen3ForCausalLM(Qwen3Config(**sizes, num_key_value_heads=2, head_dim=8, initializer_range=0.2)).to(dtype)


def gradient_steps(policy: Policy, optimizer: Optimizer, steps: int, lr: float = 1e-2) -> list[float]:
    losses = []
    with policy.updating():
        for _ in range(steps):
            loss = -policy(pack(PAIRS, policy.device))[0].mean()
            loss.backward()
            optimizer.step(lr, 1.0)
            losses.append(float(loss.detach()))
    return losses


def test_bfloat16_weights_move_by_updates_smaller_than_their_own_resolution() -> None:
    """A step of 1e-5 vanishes in bfloat16 near 1 (spacing 1/128); sixty of them add up in the master."""
    weight = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    optimizer = Optimizer({"w": weight}, 1e-4, (0.9, 0.999), 0.0)
    for _ in range(60):
        weight.sum().backward()
        optimizer.step(1e-4, 1e9)
    assert weight.dtype == torch.bfloat16
    assert torch.equal(weight, torch.full_like(weight, 1 - 60e-4))


def test_gradients_of_micro_batches_are_added_in_float32() -> None:
    """256 + 1 is 256 in bfloat16."""
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
    optimizer = Optimizer({"w": weight}, 1.0, (0.9, 0.999), 0.0)
    for factor in [256.0] + [1.0] * 64:
        (weight * factor).sum().backward()
    norm, stepped = optimizer.step(1.0, 1e9)
    assert (norm, stepped) == (320.0, True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing(value: float) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = Optimizer({"w": weight}, 1.0, (0.9, 0.999), 0.1)
    (weight * value).sum().backward()
    assert optimizer.step(1.0, 1.0)[1] is False
    assert torch.equal(weight, torch.ones(3))
    weight.sum().backward()
    assert optimizer.step(1.0, 1.0)[1] is True
    assert torch.isfinite(weight).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saved_and_loaded_the_optimiser_goes_on_bit_for_bit(dtype: torch.dtype) -> None:
    def make() -> tuple[Policy, Optimizer]:
        policy = Policy(small_model(dtype))
        return policy, Optimizer(policy.named_weights(), 1e-2, (0.9, 0.999), 0.1)

    policy, optimizer = make()
    gradient_steps(policy, optimizer, 3)
    weights = {name: weight.detach().clone() for name, weight in policy.named_weights().items()}
    tensors = {name: tensor.clone() for name, tensor in optimizer.tensors().items()}
    gradient_steps(policy, optimizer, 3)
    other, resumed = make()
    with torch.no_grad():
        for name, weight in other.named_weights().items():
            weight.copy_(weights[name])
    masters = {name: tensors.get(f"{name}/master", weight) for name, weight in weights.items()}
    resumed.load(masters.items(), ((key, value) for key, value in tensors.items() if not key.endswith("/master")))
    gradient_steps(other, resumed, 3)
    for name, weight in policy.named_weights().items():
        assert torch.equal(weight, other.named_weights()[name]), name


def test_lora_trains_few_weights_and_leaves_as_a_plain_model() -> None:
    model, plain = small_model(), small_model()
    add_lora(model, 4, 8, ("all-linear",), seed=0)
    policy = Policy(model)
    trainable = [name for name, weight in policy.named_weights().items() if weight.requires_grad]
    assert trainable
    assert all(".lora_" in name for name in trainable)
    with policy.updating():
        at_first = policy(pack(PAIRS, policy.device))[0].detach()
    losses = gradient_steps(policy, Optimizer(policy.named_weights(), 1e-2, (0.9, 0.999), 0.0), 8)
    assert losses[-1] < losses[0] - 0.1
    merged = dict(hub_tensors(model, policy.named_weights()))
    assert set(merged) == set(dict(plain.named_parameters()))
    start = Policy(small_model())
    with start.updating():
        assert torch.equal(start(pack(PAIRS, start.device))[0], at_first)  # B is zero at the start
    plain.load_state_dict(merged, strict=False)
    with policy.updating(), Policy(plain).updating():
        torch.testing.assert_close(Policy(plain)(pack(PAIRS, policy.device))[0], policy(pack(PAIRS, policy.device))[0], atol=1e-5, rtol=0)


def test_lora_names_the_layers_there_are() -> None:
    with pytest.raises(UserError, match=r"lora_targets='nose': allowed are all-linear, .*q_proj"):
        add_lora(small_model(), 4, 8, ("nose",), seed=0)


def test_gradient_checkpointing_gives_the_same_gradient() -> None:
    gradients = []
    for checkpointing in (False, True):
        model = small_model()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        policy = Policy(model)
        with policy.updating():
            policy(pack(PAIRS, policy.device))[0].sum().backward()
        gradients.append([weight.grad for weight in policy.named_weights().values()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
