"""From SFT to a checkpoint that `generate` stops on: thinking tags and ends of turns in chat templates of the kinds that models have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from chat_models import (
    CHATML,
    GEMMA,
    HARMONY,
    LLAMA3,
    MISTRAL,
    NO_PROMPT,
    NO_SYSTEM,
    QWEN3,
    QWEN3_OFF,
    QWEN3_THINKING,
    QWQ,
    R1,
    ask,
    made,
    start,
    tiny,
)  # fmt: skip
from klear_program import PROFILE, inside
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.grading import grade_math
from benchmarks.protocols import Protocol
from benchmarks.records import Problem
from klear_repro.data.sources import sft_rows
from klear_repro.engines.base import Completion, Request, Sampling, chat_ids
from klear_repro.engines.chat import ChatTokenizer
from klear_repro.engines.hf import HFEngine
from klear_repro.errors import UserError
from klear_repro.evaluate import Task, sample_set
from klear_repro.models import ModelSource
from klear_repro.rewards import RewardModel
from klear_repro.sections import SFTConfig
from klear_repro.training.prompts import make_prompts
from klear_repro.training.rl import score
from klear_repro.training.sft import encode_pairs, train_sft
from sandbox import Limits

THOUGHT = "<think>\ntwo and four\n</think>\n\n\\boxed{6}"
SFT = SFTConfig(steps=45, batch_size=2, lr=5e-3, lr_end=5e-3, warmup_steps=2, save_every=45)
GREEDY = Sampling(0.0, 1.0, 0, 0.0, 1.0, 60)
KINDS = {
    # template, tags, the configuration's end → where a turn ends
    "prefilled, DeepSeek-R1-Distill": (R1, "added", "<｜end▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "prefilled, Qwen3-Thinking": (QWEN3_THINKING, "added", "<|im_end|>", "<|im_end|>"),
    "prefilled, QwQ, tags of several tokens": (QWQ, "text", "<|im_end|>", "<|im_end|>"),
    "prefilled and special": (QWQ, "special", "<|im_end|>", "<|im_end|>"),
    "special": (CHATML, "special", "<|im_end|>", "<|im_end|>"),
    "other end, a base model": (CHATML, "added", "<|endoftext|>", "<|im_end|>"),
    "other end, prefilled and special": (QWQ, "special", "<|endoftext|>", "<|im_end|>"),
    "Qwen3, hybrid": (QWEN3, "added", "<|endoftext|>", "<|im_end|>"),
    "Llama 3": (LLAMA3, "text", "<|endoftext|>", "<|eot_id|>"),
    "Gemma": (GEMMA, "text", "<|endoftext|>", "<end_of_turn>"),
    "Mistral, without generation prompt": (MISTRAL, "text", "</s>", "</s>"),
}


def sft_row(response: str, question: str = "2 + 4?", **more: Any) -> dict[str, Any]:
    return {"prompt": ask(question), "response": response, **more}


def rl_row(question: str = "2 + 4?") -> dict[str, Any]:
    return {"data_source": "math_longcot_math_verify", "prompt": ask(question), "reward_model": {"ground_truth": "6"}}


def shown(tokenizer: Any, row: dict[str, Any]) -> tuple[str, str]:
    """Prompt and response of an encoded row, special tokens and all."""
    ((prompt, response),) = encode_pairs(tokenizer, [row], 10_000)
    return tokenizer.decode(prompt), tokenizer.decode(response)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The models are so small that more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_trains_evaluates_and_ends_its_turns_from_sft_to_a_checkpoint_that_generate_stops_on(kind: str, tmp_path: Path) -> None:
    template, tags, eos, end = KINDS[kind]
    tokenizer = made(template, tags=tags, eos=eos)
    pairs = encode_pairs(tokenizer, [sft_row(THOUGHT)] * 2, 256)
    prompt, response = pairs[0]
    whole = tokenizer.decode([*prompt, *response])
    assert whole.count("<think>") == whole.count("</think>") == 1
    assert response[-1] == tokenizer.convert_tokens_to_ids(end)
    saved = train_sft(start(tiny(tokenizer), tokenizer, tmp_path), SFT, pairs)

    model, loaded = AutoModelForCausalLM.from_pretrained(saved), AutoTokenizer.from_pretrained(saved)
    asked = loaded.apply_chat_template(ask("2 + 4?"), add_generation_prompt=True, return_tensors="pt", return_dict=True)
    made_ids = model.generate(**asked, max_new_tokens=60, do_sample=False)[0, asked["input_ids"].shape[1] :].tolist()
    assert made_ids == list(response), "generate goes on behind the trained end"

    engine = HFEngine(model, loaded, slots=4)
    (sample,) = engine.generate([Request(0, engine.encode_chat(ask("2 + 4?")), 0)], GREEDY)
    assert (sample.token_ids, sample.finish_reason) == (tuple(response), "stop")
    assert "</think>" in sample.text and not set(loaded.all_special_tokens) & {sample.text[-len(end) :], sample.text[:3]}
    assert grade_math(sample.text, "6", thinking="required", finish_reason=sample.finish_reason).correct

    for preset in ("paper", "release"):
        with RewardModel(preset, workers=1, max_tests=1, limits=Limits()) as rewards:
            (group,) = score(rewards, make_prompts(loaded, [rl_row()]), [[sample]], [0], retries=0)
        assert (group.scores[0].reward, group.scores[0].detail) == (1.0, "correct")


@pytest.mark.parametrize("template", [QWQ, R1, QWEN3_THINKING])
def test_a_tag_of_the_prompt_is_not_trained_again(template: str) -> None:
    tokenizer = made(template)
    end = shown(tokenizer, sft_row(THOUGHT))[1].removeprefix("two and four\n</think>\n\n\\boxed{6}")
    for response in (THOUGHT, "two and four\n</think>\n\n\\boxed{6}", "\n" + THOUGHT):
        prompt, answer = shown(tokenizer, sft_row(response))
        assert prompt.endswith("<think>\n")
        assert answer == "two and four\n</think>\n\n\\boxed{6}" + end


def test_a_response_without_thinking_is_written_as_the_template_writes_it_or_refused() -> None:
    assert shown(made(QWEN3_THINKING), sft_row("\\boxed{6}"))[1] == "\n</think>\n\n\\boxed{6}<|im_end|>"
    assert shown(made(QWEN3), sft_row("\\boxed{6}"))[1] == "\\boxed{6}<|im_end|>"
    for template in (R1, QWQ):
        with pytest.raises(UserError, match="row 1: the prompt opens <think>, and the response has no </think>"):
            encode_pairs(made(template), [sft_row("\\boxed{6}")], 100)


@pytest.mark.parametrize("template", [QWQ, R1, QWEN3_THINKING])
def test_a_thinking_that_is_never_closed_is_not_trained_where_the_prompt_opens_it(template: str) -> None:
    with pytest.raises(UserError, match="row 1: the prompt opens <think>, and the response has no </think>"):
        encode_pairs(made(template), [sft_row("<think>\ntwo and so on")], 100)


def test_a_response_that_thinks_is_refused_where_the_prompt_closes_the_thinking() -> None:
    tokenizer = made(QWEN3_OFF)
    assert shown(tokenizer, sft_row("<think>\n\n</think>\n\n\\boxed{6}"))[1] == "\\boxed{6}<|im_end|>"
    assert shown(tokenizer, sft_row("\\boxed{6}"))[1] == "\\boxed{6}<|im_end|>"
    for row in (sft_row(THOUGHT), sft_row("\\boxed{6}", reasoning="two and four")):
        with pytest.raises(UserError, match="the prompt closes the thinking, and the response thinks"):
            encode_pairs(tokenizer, [row], 100)


@pytest.mark.parametrize(
    ("template", "response"),
    [
        (QWEN3, "<think>\ntwo and four\n</think>\n\n\\boxed{6}<|im_end|>"),
        (QWEN3_THINKING, "two and four\n</think>\n\n\\boxed{6}<|im_end|>"),
        (QWQ, "two and four\n</think>\n\n\\boxed{6}<|im_end|>"),
        (R1, "two and four\n</think>\n\n\\boxed{6}<｜end▁of▁sentence｜>"),
        (CHATML, "<think>\ntwo and four\n</think>\n\n\\boxed{6}<|im_end|>"),
        (HARMONY, "<|channel|>analysis<|message|>two and four<|end|><|start|>assistant<|channel|>final<|message|>\\boxed{6}<|return|>"),
    ],
)  # fmt: skip
def test_reasoning_beside_the_content_is_trained_as_the_template_writes_it(template: str, response: str) -> None:
    for reasoning in ("two and four", "<think>\ntwo and four\n</think>", "<think>\ntwo and four\n</think>\n\n"):
        assert shown(made(template), sft_row("\\boxed{6}", reasoning=reasoning))[1] == response


def test_reasoning_that_the_content_has_too_is_trained_once_and_another_one_is_refused() -> None:
    assert shown(made(CHATML), sft_row(THOUGHT, reasoning="two and four"))[1] == THOUGHT + "<|im_end|>"
    with pytest.raises(UserError, match="row 1: the response thinks, and so does the reasoning beside it"):
        encode_pairs(made(CHATML), [sft_row(THOUGHT, reasoning="three")], 100)
    assert shown(made(CHATML), sft_row("\\boxed{6}", reasoning=" \n"))[1] == "\\boxed{6}<|im_end|>"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_reaches_sft_from_messages_and_from_columns(name: str, tmp_path: Path) -> None:
    answer = {"role": "assistant", "content": "\\boxed{6}"}
    told = [
        {"messages": [*ask("2 + 4?"), {**answer, name: "two and four"}]},
        {"messages": [*ask("1?"), {"role": "assistant", "content": "1", name: "one"}, *ask("2 + 4?"), answer]},
    ]
    beside = [{"prompt": "2 + 4?", "response": "\\boxed{6}", name: "two and four"}]
    for number, rows in enumerate((told, *([beside] if name != "reasoning" else []))):  # a column of that name may be anything
        path = tmp_path / f"{number}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert shown(made(QWEN3), sft_rows(str(path))[0])[1] == "<think>\ntwo and four\n</think>\n\n\\boxed{6}<|im_end|>"
    prompt, response = shown(made(HARMONY), sft_rows(str(tmp_path / "0.jsonl"))[1])
    if name == "thinking":  # the field that the template reads; it keeps that of earlier turns
        assert "analysis<|message|>one<|end|>" in prompt
    assert response == "<|channel|>final<|message|>\\boxed{6}<|return|>"
    (tmp_path / "wrong.jsonl").write_text(json.dumps({"messages": [*ask("2 + 4?"), {**answer, name: [1]}]}) + "\n")
    with pytest.raises(UserError, match=rf"row 1: messages\[1\].{name}=\[1\]: must be text"):
        sft_rows(str(tmp_path / "wrong.jsonl"))


@pytest.mark.parametrize("kind", KINDS)
def test_text_that_looks_like_an_end_of_turn_is_text(kind: str) -> None:
    template, tags, eos, end = KINDS[kind]
    tokenizer = made(template, tags=tags, eos=eos)
    token = tokenizer.convert_tokens_to_ids(end)
    plain = THOUGHT.replace("two", f"{end} and {eos}") + f" not {end}."
    question = f"What is {end} and {eos}?"
    harmless = chat_ids(tokenizer, ask("What is x and y?"))
    ((prompt, response),) = encode_pairs(tokenizer, [sft_row(plain, question)], 10_000)
    assert list(response).count(token) == 1 and response[-1] == token
    assert prompt == chat_ids(tokenizer, ask(question)) == make_prompts(tokenizer, [rl_row(question)])[0].ids
    for index in {token, tokenizer.eos_token_id}:
        assert list(prompt).count(index) == list(harmless).count(index)
    assert question in tokenizer.decode(prompt)
    assert plain.removeprefix("<think>\n") in tokenizer.decode(response)
    apart = tokenizer.encode(f"\n\n\\boxed{{6}} not {end}.", add_special_tokens=False, split_special_tokens=True)
    assert tokenizer.decode(apart) in tokenizer.decode(response)
    assert template == MISTRAL or list(response[-1 - len(apart) : -1]) == apart


def test_prompts_without_such_text_have_the_tokens_of_the_template() -> None:
    for template, tags, eos, _ in KINDS.values():
        tokenizer = made(template, tags=tags, eos=eos)
        expected = tokenizer.apply_chat_template(ask("2 + 4 <think>?"), add_generation_prompt=True, tokenize=True, return_dict=False)
        assert chat_ids(tokenizer, ask("2 + 4 <think>?")) == tuple(expected)


@pytest.mark.parametrize("closed", [False, True])
def test_tags_of_the_prompt_count_for_the_format_and_only_there(closed: bool) -> None:
    prompts = make_prompts(made(QWEN3_OFF if closed else QWQ), [rl_row()])
    texts = ["two\n</think>\n\n\\boxed{6}", "\\boxed{6}", "<think>\ntwo\n</think>\n\n\\boxed{6}"]
    completions = [[Completion(None, (1,), (-0.5,), text, "stop", 0.1) for text in texts]]
    with RewardModel("release", workers=1, max_tests=1, limits=Limits()) as rewards:
        (group,) = score(rewards, prompts, completions, [0], retries=0)
    assert [one.reward for one in group.scores] == ([1.0, 1.0, 1.0] if closed else [1.0, -0.5, 1.0])


def test_the_program_of_a_prompt_that_closes_the_thinking_is_executed() -> None:
    row = {**rl_row(), "data_source": "coder1_longcot", "reward_model": {"ground_truth": json.dumps({"inputs": ["1"], "outputs": ["2"]})}}
    text = "```python\nprint(2)\n```"
    with RewardModel("release", workers=1, max_tests=1, limits=Limits()) as rewards:
        prompts, completion = make_prompts(made(QWEN3_OFF), [row]), Completion(None, (1,), (-0.5,), text, "stop", 0.1)
        (group,) = score(rewards, prompts, [[completion]], [0], retries=0)
    assert group.scores[0].reward == 1.0


def test_short_answers_are_read_as_they_are_whatever_the_prompt_has() -> None:
    completions = [[Completion(None, (1,), (-0.5,), "The answer is 6.", "stop", 0.1)]]
    with RewardModel("short-answer", workers=1, max_tests=1, limits=Limits()) as rewards:
        (group,) = score(rewards, make_prompts(made(QWQ), [rl_row()]), completions, [0], retries=0)
    assert group.scores[0].reward == 1.0


def test_white_space_that_a_tag_takes_along_is_no_loss() -> None:
    tokenizer = made(CHATML, strips=True)
    assert shown(tokenizer, sft_row(THOUGHT))[1] == "<think>two and four\n</think>\\boxed{6}<|im_end|>"


def test_rows_that_the_template_cannot_write_are_left_out_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    talk = [{"role": "system", "content": "Be brief."}, *ask("2 + 4?")]
    bad, good = {"prompt": talk, "response": "6"}, {"prompt": ask("2 + 4?"), "response": "6"}
    for template, reason in ((GEMMA, "System role not supported"), (NO_SYSTEM, "leaves out messages[0].content='Be brief.'")):
        assert len(encode_pairs(made(template), [good, bad, good], 100)) == 2
        said = capsys.readouterr().err
        assert "sft: 1 of 3 samples cannot be written with the model's chat template and are left out; row 2: " in said and reason in said
        with pytest.raises(UserError) as error:
            encode_pairs(made(template), [bad], 100)
        assert reason in str(error.value) and "\n" not in str(error.value)
        kept = make_prompts(made(template), [rl_row(), {**rl_row(), "prompt": talk}])
        assert len(kept) == 1 and reason in capsys.readouterr().err
    with pytest.raises(UserError, match="has no generation prompt: add_generation_prompt changes nothing"):
        encode_pairs(made(NO_PROMPT), [good], 100)


def test_fields_that_are_empty_are_none() -> None:
    messages = [{"role": "user", "content": "What is <|im_end|>?", "reasoning_content": None, "tool_calls": None}]
    (prompt,) = make_prompts(made(QWEN3), [{**rl_row(), "prompt": messages}])
    assert prompt.ids == chat_ids(made(QWEN3), ask("What is <|im_end|>?"))


def test_earlier_answers_are_what_the_template_makes_of_them() -> None:
    talk = [*ask("1?"), {"role": "assistant", "content": "<think>\none\n</think>\n\n1"}, *ask("2 + 4?")]
    for template in (QWQ, R1, QWEN3):
        prompt, response = shown(made(template), {"prompt": talk, "response": THOUGHT})
        assert "one\n" not in prompt and "1<" in prompt and response.count("</think>") == 1


def test_what_was_found_is_said_and_the_ends_of_the_model_stay_its_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = made(QWQ, tags="special")
    model = tiny(tokenizer)
    base, turn, other = (tokenizer.convert_tokens_to_ids(name) for name in ("<|endoftext|>", "<|im_end|>", "<|eot_id|>"))
    model.generation_config.eos_token_id = [base, other]
    pairs = encode_pairs(tokenizer, [sft_row(THOUGHT)], 100)
    config = SFTConfig(steps=1, batch_size=1, warmup_steps=0, save_every=1)
    saved = train_sft(start(model, tokenizer, tmp_path), config, pairs)
    for name in ("generation_config.json", "config.json"):
        assert json.loads((saved / name).read_text())["eos_token_id"] == [turn, base, other]
    line = next(line for line in capsys.readouterr().err.splitlines() if "chat template" in line)
    assert line == (
        "sft: chat template: the prompt ends with '<|im_start|>assistant\\n<think>\\n', which opens the thinking; "
        f"turns end with <|im_end|> ({turn}), and the model's own ends, <|endoftext|> ({base}) and <|eot_id|> ({other}), stay ends; "
        "<think> and </think> are special tokens and stay in texts"
    )


def test_a_template_that_cannot_write_the_data_is_one_line_before_anything_is_written(tmp_path: Path) -> None:
    tokenizer = made(R1, eos="<｜end▁of▁sentence｜>")
    for part in (tiny(tokenizer), tokenizer):
        part.save_pretrained(tmp_path / "base")
    (tmp_path / "told.jsonl").write_text(json.dumps({"prompt": "1 + 1", "response": "2"}) + "\n")
    (tmp_path / "mini.toml").write_text(PROFILE.replace("[data]", '[data]\nsource = "files"'))
    words = ["--profile", tmp_path / "mini.toml", "--run-dir", tmp_path / "run", "--stage", "sft"]
    outcome = inside(*words, "--model.path", tmp_path / "base", "--sft.data", tmp_path / "told.jsonl")
    assert outcome.code == 2, outcome.err
    assert "row 1: the prompt opens <think>, and the response has no </think>" in outcome.lines[-1]
    assert not (tmp_path / "run" / "manifest.json").exists()


@pytest.mark.parametrize(("template", "rule"), [(QWQ, "required"), (CHATML, "auto"), (QWEN3_OFF, "auto")])
def test_a_thinking_that_the_prompt_opens_must_be_closed_to_be_judged(template: str, rule: str, tmp_path: Path) -> None:
    tokenizer = made(template)
    tokenizer.save_pretrained(tmp_path)
    problem = Problem(benchmark="gsm8k", id="1", kind="math", statement="2 + 4?", answer="6")
    task = Task("gsm8k", [problem], Protocol(name="p", description="", max_new_tokens=9, samples=1))
    samples = sample_set(task, "tiny", "r", tmp_path, ChatTokenizer(ModelSource("tiny", tmp_path, "", "r")), 0)
    assert samples.protocol == task.protocol
    assert samples.judged == task.protocol.model_copy(update={"thinking": rule})
