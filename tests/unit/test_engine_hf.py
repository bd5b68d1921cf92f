"""The hf engine on a tiny random Qwen3: the right tokens, the same tokens in any company, the right probabilities."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from klear_repro.data.tokenizer import train_tokenizer
from klear_repro.engines import base, hf, row_rules
from klear_repro.engines.base import Completion, Request, Sampling
from klear_repro.engines.hf import HFEngine, choose_tokens
from klear_repro.engines.row_rules import _in_blocks
from klear_repro.models import new_model
from klear_repro.sections import ModelConfig

WORDS = "Find 12 + 34. A shop sells 7 pens and 9 books. Read integers from one line. <think>\n2+4=6 so 46\n</think>\n\n\\boxed{46}"


def sampling(
    budget: int = 24, temperature: float = 1.0, top_p: float = 1.0, top_k: int = 0, min_p: float = 0.0, penalty: float = 1.0
) -> Sampling:
    return Sampling(temperature, top_p, top_k, min_p, penalty, budget)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer([WORDS], 320)


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    config = ModelConfig(
        hidden_size=64,
        layers=2,
        heads=4,
        kv_heads=2,
        head_dim=16,
        intermediate_size=128,
        vocab_size=320,
        max_position=256,
        initializer_range=0.2,
    )
    return new_model(config, tokenizer, 3).eval()


@pytest.fixture(scope="module")
def prompts(tokenizer: Any) -> list[tuple[int, ...]]:
    """Prompts of quite different lengths."""
    texts = ["1", "Find 12 + 34.", WORDS[:40], WORDS, "Find 99 - 9." * 6]
    return [
        tuple(
            tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True, tokenize=True, return_dict=False)
        )
        for text in texts
    ]


def requests(prompts: list[tuple[int, ...]], count: int) -> list[Request]:
    return [Request(index, prompt, 1000 + index) for index, prompt in zip(range(count), itertools.cycle(prompts), strict=False)]


def generate(model: Any, tokenizer: Any, wanted: list[Request], how: Sampling, slots: int = 16) -> dict[Any, Completion]:
    done = list(HFEngine(model, tokenizer, slots=slots).generate(wanted, how))
    assert len(done) == len(wanted)
    return {completion.tag: completion for completion in done}


# --- against transformers -----------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_greedy_is_what_transformers_generates(model: Any, tokenizer: Any, prompts: list[tuple[int, ...]], penalty: float) -> None:
    mine = generate(model, tokenizer, requests(prompts, len(prompts)), sampling(40, temperature=0, penalty=penalty))
    for index, prompt in enumerate(prompts):
        ids = torch.tensor([prompt])
        whole = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=40, repetition_penalty=penalty)
        assert mine[index].token_ids == tuple(whole[0, len(prompt) :].tolist())


def test_log_probabilities_are_those_of_a_full_forward_pass(model: Any, tokenizer: Any, prompts: list[tuple[int, ...]]) -> None:
    for temperature in (1.0, 0.6):
        for index, completion in generate(model, tokenizer, requests(prompts, 10), sampling(80, temperature)).items():
            prompt = prompts[index % len(prompts)]
            ids = torch.tensor([[*prompt, *completion.token_ids]])
            with torch.no_grad():
                logp = (model(ids).logits[0, len(prompt) - 1 : -1] / temperature).log_softmax(-1)
            expected = logp.gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]
            torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=1e-5 / temperature, rtol=1e-5)


# --- the same in any company --------------------------------------------------------------------


@pytest.mark.parametrize("how", [sampling(70), sampling(70, 0.6, 0.95, 20, 0.0, 1.05)], ids=["plain", "filtered"])
def test_a_sample_is_bit_for_bit_the_same_whatever_else_is_in_the_batch(
    model: Any, tokenizer: Any, prompts: list[tuple[int, ...]], how: Sampling
) -> None:
    wanted = requests(prompts, 40)
    reference = {tag: (one.token_ids, one.logprobs) for tag, one in generate(model, tokenizer, wanted, how, slots=16).items()}
    companies = {
        "4 slots": (wanted, 4), "64 slots": (wanted, 64), "reversed": (wanted[::-1], 16), "7 slots": (wanted, 7),
        "every third": (wanted[::3], 16), "alone": (wanted[11:12], 16), "two": (wanted[20:22], 64),
    }  # fmt: skip
    for name, (some, slots) in companies.items():
        for tag, one in generate(model, tokenizer, some, how, slots).items():
            assert (one.token_ids, one.logprobs) == reference[tag], (name, tag)


def rows_computed(model: Any, tokenizer: Any, wanted: list[Request], slots: int) -> tuple[int, dict[Any, Any]]:
    """Rows of the widest step, and the tokens of each sample."""
    widest = 0

    def count(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal widest
        if output.shape[1] == 1:
            widest = max(widest, len(output))

    handle = model.get_input_embeddings().register_forward_hook(count)
    try:
        made = generate(model, tokenizer, wanted, sampling(40), slots)
    finally:
        handle.remove()
    return widest, {tag: (one.token_ids, one.logprobs) for tag, one in made.items()}


@pytest.mark.parametrize("alike", [True, False])
def test_six_samples_are_not_padded_to_64_rows_and_have_the_bits_of_a_full_batch(
    model: Any, tokenizer: Any, prompts: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch, alike: bool
) -> None:
    """Some processors round a small layer otherwise from 64 rows on, or otherwise at every number of rows."""
    measured = row_rules._alike_from
    square = (64, alike)
    monkeypatch.setattr(row_rules, "_alike_from", lambda inner, outer, most: square if inner == outer else measured(inner, outer, most))
    row_rules._rules.cache_clear()
    wanted = requests(prompts, 100)
    full, reference = rows_computed(model, tokenizer, wanted, 100)
    few, found = rows_computed(model, tokenizer, wanted[:6], 100)
    assert full >= 100 and few <= 16
    assert found == {tag: reference[tag] for tag in range(6)}
    assert not [module for module in model.modules() if "forward" in vars(module)]
    row_rules._rules.cache_clear()


def test_layers_whose_kernels_never_round_alike_are_computed_in_blocks_of_one_size() -> None:
    layer = torch.nn.Linear(24, 40)
    sizes: list[int] = []

    def linear(rows: Tensor) -> Tensor:
        sizes.append(len(rows))
        return layer(rows)

    rows = torch.randn(70, 1, 24)
    with torch.no_grad():
        assert torch.equal(_in_blocks(linear, 64, False, rows)[64:], layer(torch.nn.functional.pad(rows[64:], (0, 0, 0, 0, 0, 58)))[:6])
        assert _in_blocks(linear, 64, True, rows).shape == (70, 1, 40)
    assert sizes == [64, 64, 128]


def trickle(wanted: list[Request], taken: list[Any]) -> Iterator[Request | None]:
    """Requests that come now and then, as from a queue that others fill; `taken` gets their tags."""
    for index, request in enumerate(wanted):
        yield from [None] * (index * 7 % 5)
        taken.append(request.tag)
        yield request


@pytest.mark.parametrize("slots", [8, 64])
@pytest.mark.parametrize("how", [sampling(70), sampling(70, 0.6, 0.95, 20, 0.0, 1.05)], ids=["plain", "filtered"])
def test_requests_that_trickle_in_make_the_same_samples_bit_for_bit(
    model: Any, tokenizer: Any, prompts: list[tuple[int, ...]], how: Sampling, slots: int
) -> None:
    wanted = requests(prompts, 40)
    reference = {tag: (one.token_ids, one.logprobs) for tag, one in generate(model, tokenizer, wanted, how).items()}
    for some in (wanted, wanted[::-1]):
        trickled = HFEngine(model, tokenizer, slots=slots).generate(trickle(some, []), how)
        assert {one.tag: (one.token_ids, one.logprobs) for one in trickled} == reference


def test_a_prompt_that_was_let_go_is_computed_again(model: Any, tokenizer: Any) -> None:
    many = [Request((again, index), (5, 6, index % 250, 7), index) for again in range(2) for index in range(140)]
    found = generate(model, tokenizer, many, sampling(2))
    assert all(found[0, index].token_ids == found[1, index].token_ids for index in range(140))


def test_requests_are_pulled_only_into_free_slots(model: Any, tokenizer: Any, prompts: list[tuple[int, ...]]) -> None:
    taken: list[Any] = []
    engine = HFEngine(model, tokenizer, slots=4)
    for done, _ in enumerate(engine.generate(trickle(requests(prompts, 30), taken), sampling(12)), 1):
        assert len(taken) - done < engine.slots
    assert taken == list(range(30))


def test_new_tokens_are_reported_while_samples_run(
    model: Any, tokenizer: Any, prompts: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "REPORT_S", 0.0)
    reports: list[int] = []
    before_the_first = 0
    done = []
    for one in HFEngine(model, tokenizer, slots=8).generate(requests(prompts, 20), sampling(40), reports.append):
        before_the_first = before_the_first or len(reports)
        done.append(one)
    assert before_the_first > 1 and all(count > 0 for count in reports)
    assert sum(reports) == sum(one.token_count for one in done)


def test_another_seed_is_another_sample(model: Any, tokenizer: Any, prompts: list[tuple[int, ...]]) -> None:
    same_prompt = [Request(seed, prompts[1], seed) for seed in range(12)]
    assert len({one.token_ids for one in generate(model, tokenizer, same_prompt, sampling()).values()}) == 12


def test_the_engine_sees_new_weights_and_leaves_the_model_as_it_was(model: Any, tokenizer: Any, prompts: list[tuple[int, ...]]) -> None:
    engine = HFEngine(model, tokenizer, slots=4)
    attention = model.config._attn_implementation
    model.train()
    before = next(engine.generate(requests(prompts, 1), sampling(temperature=0))).token_ids
    assert model.training
    assert model.config._attn_implementation == attention
    with torch.no_grad():
        saved = model.model.embed_tokens.weight.clone()
        model.model.embed_tokens.weight.copy_(saved.flip(0))
    after = next(engine.generate(requests(prompts, 1), sampling(temperature=0))).token_ids
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(saved)
    model.eval()
    assert before != after
    assert next(engine.generate(requests(prompts, 1), sampling(temperature=0))).token_ids == before


def test_training_goes_on_after_a_generator_that_was_not_exhausted(model: Any, tokenizer: Any, prompts: list[tuple[int, ...]]) -> None:
    stream = HFEngine(model, tokenizer, slots=4).generate(requests(prompts, 8), sampling(8))
    next(stream)
    assert not torch.is_inference_mode_enabled()
    loss = model(torch.tensor([prompts[0]])).logits.sum()
    loss.backward()
    model.zero_grad(set_to_none=True)
    stream.close()


# --- when it ends -------------------------------------------------------------------------------


def test_a_sample_ends_at_a_stop_token_or_at_the_budget(model: Any, tokenizer: Any, prompts: list[tuple[int, ...]]) -> None:
    free = generate(model, tokenizer, requests(prompts, 20), sampling(30))
    assert {one.finish_reason for one in free.values()} <= {"stop", "length"}
    stop = free[0].token_ids[5]
    engine = HFEngine(model, tokenizer, slots=8)
    engine.stop_ids = {stop}
    for one in engine.generate(requests(prompts, 20), sampling(30)):
        expected = free[one.tag].token_ids if free[one.tag].token_ids[-1] != tokenizer.eos_token_id else None
        if stop in one.token_ids:
            assert one.token_ids.index(stop) == len(one.token_ids) - 1
            assert one.finish_reason == "stop"
        else:
            assert len(one.token_ids) == 30
            assert one.finish_reason == "length"
        if expected is not None:
            assert one.token_ids == expected[: len(one.token_ids)]
        assert one.text == tokenizer.decode(one.token_ids, skip_special_tokens=True)
        assert len(one.logprobs) == len(one.token_ids)


def test_a_budget_of_one_token_is_one_token(model: Any, tokenizer: Any, prompts: list[tuple[int, ...]]) -> None:
    assert {len(one.token_ids) for one in generate(model, tokenizer, requests(prompts, 9), sampling(1)).values()} == {1}


def test_no_request_is_no_completion(model: Any, tokenizer: Any) -> None:
    assert generate(model, tokenizer, [], sampling()) == {}


def test_a_prompt_that_leaves_no_room_is_refused_before_anything_is_generated(
    model: Any, tokenizer: Any, prompts: list[tuple[int, ...]]
) -> None:
    engine = HFEngine(model, tokenizer, slots=4)
    long = [*requests(prompts, 2), Request("long", tuple([5] * 250), 0)]
    with pytest.raises(ValueError, match=r"max_new_tokens=24.*250.*274.*256"):
        next(engine.generate(long, sampling(24)))
    exact = [Request("fits", tuple([5] * 232), 0)]
    assert 1 <= len(next(engine.generate(exact, sampling(24))).token_ids) <= 24


# --- distributions ------------------------------------------------------------------------------


def by_hand(logits: Tensor, how: Sampling, seen: set[int]) -> tuple[dict[int, float], list[float]]:
    """({token: probability after all filters}, log π at the temperature), in plain Python; vLLM's order of filters."""
    import math

    scores = [float(value) for value in logits]
    scores = [(s / how.repetition_penalty if s > 0 else s * how.repetition_penalty) if i in seen else s for i, s in enumerate(scores)]
    scores = [s / how.temperature for s in scores]
    top = max(scores)
    total = math.fsum(math.exp(s - top) for s in scores)
    probs = [math.exp(s - top) / total for s in scores]
    order = sorted(range(len(probs)), key=lambda i: -probs[i])
    kept = [i for i in order if probs[i] >= how.min_p * probs[order[0]]]
    if how.top_k:
        kept = kept[: how.top_k]
    mass, nucleus = 0.0, []
    left = math.fsum(probs[i] for i in kept)
    for i in kept:
        if mass / left >= how.top_p:
            break
        nucleus.append(i)
        mass += probs[i]
    return {i: probs[i] / mass for i in nucleus}, [math.log(p) for p in probs]


FILTERS = {
    "plain": sampling(),
    "cold": sampling(temperature=0.3),
    "hot": sampling(temperature=3.0),
    "top-p": sampling(top_p=0.7),
    "top-k": sampling(top_k=4),
    "min-p": sampling(min_p=0.2),
    "penalty": sampling(penalty=1.5),
    "all": sampling(8, 0.7, 0.9, 6, 0.05, 1.2),
}


@pytest.mark.parametrize("name", FILTERS)
def test_draws_spread_over_the_interval_give_exactly_the_filtered_distribution(name: str) -> None:
    how = FILTERS[name]
    generator = torch.Generator().manual_seed(5)
    logits = 2 * torch.randn(12, generator=generator)
    seen = {1, 4, 7}
    expected, logp = by_hand(logits, how, seen if how.repetition_penalty != 1 else set())
    count = 20_000
    draws = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    flags = torch.zeros(count, 12, dtype=torch.bool)
    flags[:, list(seen)] = True
    tokens, logprobs = choose_tokens(logits.expand(count, -1), draws, how, flags if how.repetition_penalty != 1 else None)
    shares = torch.bincount(tokens, minlength=12) / count
    assert {i for i in range(12) if shares[i] > 0} <= set(expected)
    for token, share in expected.items():
        assert shares[token].item() == pytest.approx(share, abs=2 / count)
    for token, value in zip(tokens.tolist()[::97], logprobs.tolist()[::97], strict=True):
        assert value == pytest.approx(logp[token], abs=1e-5)


@given(
    st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=40),
    st.floats(0, 1, exclude_max=True),
    st.floats(0.1, 5),
    st.floats(0.01, 1),
    st.integers(0, 50),
    st.floats(0, 1),
)
@settings(max_examples=300, deadline=None)
def test_a_token_is_always_one_that_the_filters_leave(
    values: list[float], draw: float, temperature: float, top_p: float, top_k: int, min_p: float
) -> None:
    how = sampling(8, temperature, top_p, top_k, min_p)
    logits = torch.tensor([values])
    tokens, logprobs = choose_tokens(logits, torch.tensor([draw], dtype=torch.float64), how)
    token = int(tokens[0])
    logp = (logits / temperature).log_softmax(-1)[0]
    assert torch.isclose(logprobs[0], logp[token])
    rank = int((logp > logp[token]).sum())
    if top_k:
        assert rank < top_k
    assert logp[token].exp() >= min_p * logp.max().exp() * (1 - 1e-5)
    assert logp[token] > -torch.inf


def test_the_last_representable_draw_still_falls_on_a_token_with_mass() -> None:
    logits = torch.tensor([[0.0, 1.0, -torch.inf, -torch.inf]])
    draw = torch.tensor([1 - 2**-53], dtype=torch.float64)
    for how in (sampling(), sampling(top_k=2), sampling(top_p=0.9)):
        assert int(choose_tokens(logits, draw, how)[0]) in (0, 1)


def test_temperature_zero_is_the_most_likely_token() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, 3.0, 1.0]])
    tokens, logprobs = choose_tokens(logits, torch.tensor([0.99, 0.99], dtype=torch.float64), sampling(temperature=0))
    assert tokens.tolist() == [1, 0]
    torch.testing.assert_close(logprobs, logits.log_softmax(-1).max(-1).values)


# --- slots --------------------------------------------------------------------------------------


def test_slots_that_are_not_named_are_128_or_what_free_memory_holds(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    each = 2 * 2 * 2 * 16 * 4 * 256  # keys and values, layers, heads, width, bytes, positions
    monkeypatch.setattr(hf, "free_memory", lambda: 1000 * each)
    assert HFEngine(model, tokenizer, slots=0).slots == 128
    monkeypatch.setattr(hf, "free_memory", lambda: 80 * each)
    assert HFEngine(model, tokenizer, slots=0).slots == 32
    assert HFEngine(model, tokenizer, slots=0, longest=128).slots == 64
    assert HFEngine(model, tokenizer, slots=128).slots == 128, "a number that is named wins"
    monkeypatch.setattr(hf, "free_memory", lambda: 1)
    assert HFEngine(model, tokenizer, slots=0).slots == HFEngine(model, tokenizer, slots=1).slots
    monkeypatch.setattr(hf, "free_memory", lambda: 0)  # not known
    assert HFEngine(model, tokenizer, slots=0).slots == 128
