"""Packed sequences and the chunked head: the numbers of the plain way, without padding and without logits in memory."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from klear_repro.training import chunked_head
from klear_repro.training.chunked_head import token_logprobs
from klear_repro.training.distributed import Ranks
from klear_repro.training.packing import Packed, Pair, Policy, cut, micro_batches, pack

SIZES = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 64}  # fmt: skip


def model_of(kind: str, tied: bool) -> torch.nn.Module:
    torch.manual_seed(0)
    if kind == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=8, tie_word_embeddings=tied, initializer_range=0.2))
    return LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=tied, initializer_range=0.2))


SEQUENCES = [([1, 2, 3], [4, 5, 6, 7]), ([8], [9]), ([10, 11], [12] * 20), ([13] * 9, [14, 15, 16])]
GROUPS = [([20], []), *SEQUENCES, ([20], [21]), ([1, 2, 3], []), ([8], [10]), ([1, 2, 3], [30]), ([1, 2, 3], [7] * 12)]
"""Prompts that come again, between others; empty responses."""


def response_logprobs(model: torch.nn.Module, batch: Packed, temperature: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    policy = Policy(model)
    with policy.updating():
        return policy(batch, temperature)


def plain(model: torch.nn.Module, temperature: float, sequences: Sequence[Pair] = SEQUENCES) -> tuple[torch.Tensor, torch.Tensor]:
    """Each sequence alone, with all its logits."""
    logps, entropies = [], []
    for prompt, response in sequences:
        ids = torch.tensor([[*prompt, *response]])
        logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float() / temperature
        logp = logits.log_softmax(-1)
        logps.append(logp.gather(1, torch.tensor(response, dtype=torch.long)[:, None])[:, 0])
        entropies.append(-(logp.exp() * logp).sum(-1))
    return torch.cat(logps), torch.cat(entropies).detach()


@pytest.mark.parametrize(("kind", "tied"), [("qwen3", True), ("qwen3", False), ("llama", True)])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize(("sequences", "share"), [(SEQUENCES, True), (GROUPS, True), (GROUPS, False)])
def test_packed_sequences_have_the_logprobs_entropies_and_gradients_of_each_alone(
    kind: str, tied: bool, temperature: float, sequences: list[Pair], share: bool
) -> None:
    model = model_of(kind, tied)
    weights = torch.randn(sum(len(response) for _, response in sequences), generator=torch.Generator().manual_seed(1))
    expected, entropy = plain(model, temperature, sequences)
    (expected * weights).sum().backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    batch = pack(sequences, torch.device("cpu"), share=share)
    logp, measured = response_logprobs(model, batch, temperature)
    (logp * weights).sum().backward()
    torch.testing.assert_close(logp, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(measured, entropy, rtol=1e-5, atol=1e-5)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-4, atol=1e-5, msg=name)


def test_the_packed_form_names_positions_targets_and_owners() -> None:
    batch = pack(SEQUENCES[:2], torch.device("cpu"))
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 4, 5, 6, 0, 1]]
    assert batch.targets.tolist() == [4, 5, 6, 7, 9] and batch.sequence_ids.tolist() == [0, 0, 0, 0, 1]
    assert batch.predicting.tolist() == [2, 3, 4, 5, 7] and batch.lengths == (7, 2)


def test_a_prompt_that_comes_again_is_in_the_row_once() -> None:
    batch = pack([([1, 2], [3, 4]), ([5], [6]), ([1, 2], [7])], torch.device("cpu"))
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 7, 5, 6]] and batch.position_ids.tolist() == [[0, 1, 2, 3, 2, 0, 1]]
    assert [block.tolist() for block in batch.blocks] == [[[0, 1, 2, 3]], [[0, 1, 4]], [[5, 6]]]
    assert batch.found.tolist() == [4, 5, 2, 3, 6, 7, 8]
    assert batch.targets.tolist() == [3, 4, 6, 7] and batch.predicting.tolist() == [1, 2, 5, 1]
    assert batch.sequence_ids.tolist() == [0, 0, 1, 2]


def test_no_token_sees_another_sequence() -> None:
    model = model_of("qwen3", True)
    batch = pack(SEQUENCES, torch.device("cpu"))
    other = pack([SEQUENCES[0], ([50, 51], [52]), *SEQUENCES[2:]], torch.device("cpu"))
    first, second = response_logprobs(model, batch)[0], response_logprobs(model, other)[0]
    assert torch.equal(first[:4], second[:4]) and torch.equal(first[5:], second[5:])


def test_the_models_attention_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("qwen3", True)
    before = model.config._attn_implementation
    response_logprobs(model, pack(SEQUENCES, torch.device("cpu")))
    assert model.config._attn_implementation == before


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 100))
def test_every_sequence_is_in_one_micro_batch_within_the_budget(lengths: list[int], most: int) -> None:
    cuts = cut(lengths, most)
    assert sorted(index for one in cuts for index in one) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in one) <= most or len(one) == 1 for one in cuts)
    half = [one for one in cuts if sum(lengths[index] for index in one) * 2 <= most]
    assert len(half) <= 1


@given(
    st.lists(st.tuples(st.sampled_from([[0], [1], [1, 0], [1, 1, 1]]), st.lists(st.integers(0, 9), max_size=30)), min_size=1, max_size=40),
    st.integers(1, 100), st.integers(1, 4), st.booleans(),
)  # fmt: skip
def test_micro_batches_of_all_processes_hold_every_sequence_once(sequences: list[Pair], most: int, world: int, share: bool) -> None:
    each = [micro_batches(sequences, most, Ranks(rank, world), share=share) for rank in range(world)]
    assert len({len(one) for one in each}) == 1, "every process has as many"
    assert sorted(number for one in each for part in one for number in part) == list(range(len(sequences)))
    for part in (part for one in each for part in one if len(part) > 1):
        row = pack([sequences[number] for number in part], torch.device("cpu"), share=share).input_ids.shape[1]
        assert row <= max(most, len(sequences[part[0]][0]) + 1)  # a prompt beyond the budget takes one token with it


def test_many_short_responses_to_a_long_prompt_are_not_one_micro_batch() -> None:
    """Attention holds the prompt once for each of them."""
    sequences = [([1] * 800, [2] * 10) for _ in range(64)]
    cuts = micro_batches(sequences, 2000)
    assert {len(one) for one in cuts} == {11, 9}
    assert sum(len(one) for one in cuts) == 64


def test_a_group_within_the_budget_is_not_taken_apart() -> None:
    sequences = [([number] * 10, [1] * 5) for number in range(6) for _ in range(8)]
    cuts = micro_batches(sequences, 120)
    assert len(cuts) == 3 and all(len({tuple(sequences[number][0]) for number in one}) == 2 for one in cuts)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 5), st.sampled_from([0.5, 1.0, 2.0]), st.integers(0, 1000))
def test_any_chunk_gives_the_numbers_of_the_whole(tokens: int, chunk: int, rows: int, temperature: float, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, 8, generator=draw, dtype=torch.float64).float().requires_grad_()
    weight = torch.randn(31, 8, generator=draw).requires_grad_()
    targets = torch.randint(31, (tokens,), generator=draw)
    upstream = torch.randn(tokens, generator=draw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunked_head, "CACHE_BYTES", rows * 31 * 4)
        logp, entropy = token_logprobs(hidden, weight, targets, temperature, chunk)
        (logp * upstream).sum().backward()
    mine = (logp.detach(), entropy, hidden.grad.clone(), weight.grad.clone())
    hidden.grad = weight.grad = None
    reference = (hidden @ weight.t() / temperature).log_softmax(-1)
    chosen = reference.gather(1, targets[:, None])[:, 0]
    (chosen * upstream).sum().backward()
    theirs = (chosen.detach(), -(reference.exp() * reference).sum(-1).detach(), hidden.grad, weight.grad)
    for ours, their in zip(mine, theirs, strict=True):
        torch.testing.assert_close(ours, their, rtol=1e-4, atol=1e-5)
    assert not entropy.requires_grad


@pytest.mark.parametrize("chunk", [3, 4, 12, 0])
def test_a_second_backward_pass_gives_the_gradient_of_the_first(chunk: int) -> None:
    hidden, weight = torch.randn(12, 16).requires_grad_(), torch.randn(50, 16).requires_grad_()
    logp, _ = token_logprobs(hidden, weight, torch.randint(50, (12,)), chunk=chunk)
    upstream = torch.randn(12)
    first, second = (torch.autograd.grad((logp * upstream).sum(), (hidden, weight), retain_graph=True) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other)


def test_the_head_in_bfloat16_has_float32_results_and_gradients_of_its_own_type() -> None:
    hidden = torch.randn(12, 16, dtype=torch.bfloat16).requires_grad_()
    weight = torch.randn(50, 16, dtype=torch.bfloat16).requires_grad_()
    targets = torch.randint(50, (12,))
    logp, entropy = token_logprobs(hidden, weight, targets, chunk=5)
    logp.sum().backward()
    assert logp.dtype == entropy.dtype == torch.float32 and hidden.grad.dtype == weight.grad.dtype == torch.bfloat16
    exact = (hidden.float() @ weight.float().t()).log_softmax(-1).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(logp, exact, rtol=0.02, atol=0.1)


def test_tokens_of_extreme_logits_stay_finite() -> None:
    hidden = torch.tensor([[1e4, 0.0], [-1e4, 1e4]]).requires_grad_()
    weight = torch.eye(2).repeat(4, 1).requires_grad_()
    logp, entropy = token_logprobs(hidden, weight, torch.tensor([1, 0]))
    logp.sum().backward()
    assert all(torch.isfinite(one).all() for one in (logp, entropy, hidden.grad, weight.grad))
