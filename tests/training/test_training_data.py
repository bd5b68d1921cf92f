"""Data of one's own: what cannot be trained on is one line, before anything is written; what changed is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest
from klear_program import PROFILE, inside, rows

from klear_repro.engines.base import Completion
from klear_repro.errors import RunError
from klear_repro.rewards import RewardModel
from klear_repro.training.prompts import Prompt, check_row, code_tests
from klear_repro.training.rl import score
from sandbox import IsolationUnavailable, Limits, Result, TestResult, Verdict
from sandbox.worker import Worker

MATH = {"data_source": "math_longcot_math_verify", "prompt": [{"role": "user", "content": "1 + 1"}], "ability": "math",
        "reward_model": {"ground_truth": "2", "style": "rule"}}  # fmt: skip
ASKED, TOLD = {"role": "user", "content": "1 + 1"}, {"role": "assistant", "content": "2"}


def code(tests: str) -> dict[str, Any]:
    return {**MATH, "data_source": "coder1_longcot", "ability": "code", "reward_model": {"ground_truth": tests}}


def answer(truth: Any) -> dict[str, Any]:
    return {**MATH, "reward_model": {"ground_truth": truth, "style": "rule"}}


CODE = code(json.dumps({"inputs": ["1"], "outputs": ["2"]}))


@pytest.fixture
def words(tmp_path: Path) -> list[Any]:
    """A run on files, whose SFT has three samples."""
    profile = tmp_path / "mini.toml"
    without = PROFILE.replace('controls = ["clip"]', "").replace("eval_every = 1", "")
    profile.write_text(without.replace("[data]", '[data]\nsource = "files"'))
    write(tmp_path / "told.jsonl", *({"prompt": f"{n} + 1", "response": f"The sum is {n + 1}"} for n in range(3)))
    short = ["--sft.steps", 2, "--sft.save_every", 1]
    return ["--profile", profile, "--run-dir", tmp_path / "run", "--sft.data", tmp_path / "told.jsonl", *short]


def write(path: Path, *given: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    return path


@pytest.mark.parametrize(
    ("good", "row", "says"),
    [
        (MATH, {**MATH, "data_source": "other"}, "row 2: data_source='other', allowed are coder1_longcot, math_longcot_math_verify"),
        (MATH, {**MATH, "reward_model": {"ground_truth": "2", "style": 7}, "data_source": None}, "row 2: data_source=None, allowed are"),
        (CODE, code(json.dumps({"inputs": ["1", "2"], "outputs": ["2"]})), "row 2: reward_model.ground_truth: 2 inputs and 1 outputs"),
        (CODE, code(json.dumps({"functional": "assert f(1) == 2"})), "functional is not supported"),
        (CODE, code("["), "row 2: reward_model.ground_truth: '[' is not JSON"),
        (CODE, code('{"inputs": [1], "outputs": [2]}'), "row 2: reward_model.ground_truth: test 1, {'input': 1, 'expected': 2}: input: "),
        (CODE, code('[{"in": "1", "out": "2"}]'), "test 1 has in, out, allowed are input, expected, function, args, weight"),
        (CODE, code('[{"input": "1", "expected": "2", "checker": "os:system"}]'), "test 1 has checker, allowed are"),
        (CODE, code('{"inputs": ["1"], "outputs": ["2"], "max_test_cases": 0}'), "max_test_cases=0: must be a whole number from 1 on"),
        (MATH, answer(None), "row 2: reward_model.ground_truth=None: must be the answer"),
        (MATH, answer(" "), "row 2: reward_model.ground_truth=' ': must be the answer"),
        (MATH, {**MATH, "prompt": [{"role": "user", "content": None}]}, "row 2: prompt[0].content=None: must be text"),
        (MATH, {**MATH, "prompt": []}, "row 2: prompt=[]: must be a list of messages with role and content"),
    ],
)
def test_a_row_that_cannot_be_trained_on_is_refused_before_anything_is_written(
    good: dict[str, Any], row: dict[str, Any], says: str, words: list[Any], tmp_path: Path
) -> None:
    outcome = inside(*words, "--stage", "sft,rl-math", "--rl_math.data", write(tmp_path / "rl.jsonl", good, row))
    assert outcome.code == 2, outcome.err
    assert says in outcome.lines[-1]
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({**MATH, "prompt": "1 + 1"}, "row 1: prompt='1 + 1': must be a list of messages with role and content"),
        ({**MATH, "prompt": ["x"]}, "row 1: prompt[0]='x': must be a message with role and content"),
        ({**MATH, "data_source": ["x"]}, "row 1: data_source=['x'], allowed are"),
        ({"data_source": "x", "prompt": [{"role": "user", "content": "1"}]}, "reward_model missing (needed: data_source, prompt as"),
        ({**MATH, "reward_model": {"style": "rule"}}, "row 1: reward_model.ground_truth missing"),
    ],
)
def test_rows_of_another_form_are_refused(row: dict[str, Any], says: str, words: list[Any], tmp_path: Path) -> None:
    outcome = inside(*words, "--stage", "sft,rl-math", "--rl_math.data", write(tmp_path / "rl.jsonl", row))
    assert outcome.code == 2, outcome.err
    assert says in outcome.lines[-1]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"messages": [{"content": "1 + 1"}, TOLD]}, "messages[0].role=None: must be text"),
        ({"messages": [{"role": "user", "content": None}, TOLD]}, "row 1: messages[0].content=None: must be text"),
        ({"messages": ["a", "b"]}, "row 1: messages[0]='a': must be a message with role and content"),
        ({"messages": [ASKED]}, "row 1: messages end with role='user', number 1: must end with the assistant's"),
        ({"messages": [TOLD]}, "row 1: messages end with role='assistant', number 1: must end with the assistant's, after at"),
        ({"prompt": ["x"], "response": "2"}, "row 1: prompt[0]='x': must be a message with role and content"),
        ({"prompt": 5, "response": "2"}, "row 1: prompt=5: must be a list of messages"),
        ({"prompt": "1 + 1", "response": 2}, "row 1: response=2: must be text that is not empty"),
        ({"prompt": "1 + 1", "response": None}, "row 1 must have messages that end with the assistant's"),
    ],
)
def test_rows_that_sft_cannot_learn_from_are_refused_before_anything_is_written(
    row: dict[str, Any], says: str, words: list[Any], tmp_path: Path
) -> None:
    outcome = inside(*words, "--stage", "sft", "--sft.data", write(tmp_path / "other.jsonl", row))
    assert outcome.code == 2, outcome.err
    assert f"sft.data='{tmp_path}/other.jsonl': " in outcome.lines[-1]
    assert says in outcome.lines[-1]
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_number_is_an_answer_too() -> None:
    check_row({**MATH, "reward_model": {"ground_truth": 2}}, "here")


def test_a_code_row_has_no_more_tests_run_than_its_max_test_cases_says(monkeypatch: pytest.MonkeyPatch) -> None:
    tests, most = code_tests(json.dumps({"inputs": ["1", "2", "3"], "outputs": ["1", "2", "3"], "max_test_cases": 2, "timeout": 9}))
    assert (len(tests), most) == (3, 2)
    assert code_tests(json.dumps(tests)) == (tests, 0)
    seen: list[int] = []

    class Told:
        def run_many(self, jobs: list[Any], limits: Limits) -> list[Result]:
            seen.extend(len(chosen) for _, chosen in jobs)
            return [Result([TestResult(Verdict.AC)], total=1) for _ in jobs]

    for largest in (16, 1):
        rewards = RewardModel("paper", workers=1, max_tests=largest, limits=Limits())
        monkeypatch.setattr(rewards, "_executor", Told())
        completion = Completion(None, (1,), (-0.5,), "<think></think>```python\nprint(input())\n```", "stop", 0.1)
        for allowed in (most, 0):
            score(rewards, [Prompt((1,), "coder1_longcot", tests, allowed)], [[completion]], [0], retries=0)
    assert seen == [2, 3, 1, 1]


def test_words_make_no_code_problems(words: list[Any], tmp_path: Path) -> None:
    go = [*words, "--data.source", "words", "--stage", "sft,rl-math,rl-code"]
    outcome = inside(*go)
    assert outcome.code == 2, outcome.err
    assert "rl_code.steps=2: must be 0 where data.source='words', which makes no code problems; or name some" in outcome.lines[-1]
    outcome = inside(*go, "--rl_code.data", write(tmp_path / "rl.jsonl", CODE), "--rl_code.eval_every", 1)
    assert outcome.code == 2, outcome.err
    assert "rl_code.heldout='': must name problems" in outcome.lines[-1]
    assert not (tmp_path / "run" / "manifest.json").exists()


def refuse(worker: Worker) -> NoReturn:
    raise IsolationUnavailable(f"tier {worker.tier}: refused")


def test_code_rl_without_a_sandbox_is_one_line_before_anything_is_written(
    words: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "start", refuse)
    data = write(tmp_path / "rl.jsonl", CODE)
    for section, other in (("rl_code", "rl_math"), ("rl_math", "rl_code")):  # the rows say which verifier they need
        outcome = inside(*words, "--stage", "sft,rl-math,rl-code", f"--{other}.steps", 0, f"--{section}.data", data)
        assert outcome.code == 2, outcome.err
        assert "runtime.tier='auto': no isolation is possible here: tier root: refused; tier userns: refused" in outcome.lines[-1]
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_sandbox_that_cannot_be_had_later_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "start", refuse)
    rewards = RewardModel("paper", workers=1, max_tests=4, limits=Limits())
    completion = Completion(None, (1,), (-0.5,), "<think></think>```python\npass\n```", "stop", 0.1)
    with pytest.raises(RunError, match="the verifier cannot run: no isolation is possible here"):
        score(rewards, [Prompt((1,), "coder1_longcot", *code_tests(CODE["reward_model"]["ground_truth"]))], [[completion]], [0], retries=0)


def test_a_prompt_that_leaves_no_room_is_refused_before_training(words: list[Any], tmp_path: Path) -> None:
    path = write(tmp_path / "rl.jsonl", MATH, {**MATH, "prompt": [{"role": "user", "content": "1 + 1 " * 200}]})
    outcome = inside(*words, "--stage", "sft,rl-math", "--rl_math.data", path)
    assert outcome.code == 2, outcome.err
    assert "rl_math.max_new_tokens=40: with the longest prompt" in outcome.lines[-1]
    assert rows(tmp_path / "run" / "metrics" / "rl-math.jsonl") == []


def test_evaluations_while_training_want_problems_of_their_own(words: list[Any], tmp_path: Path) -> None:
    path = write(tmp_path / "rl.jsonl", *({**MATH, "reward_model": {"ground_truth": str(n)}} for n in range(8)))
    go = [*words, "--stage", "sft,rl-math", "--rl_math.data", path, "--rl_math.eval_every", 1, "--rl_math.patience", 9]
    refused = inside(*go)
    assert refused.code == 2, refused.err
    assert "rl_math.heldout='': must name problems" in refused.lines[-1]
    outcome = inside(*go, "--rl_math.heldout", path, "--rl_math.eval_problems", 3)
    assert outcome.code == 0, outcome.err
    assert [row["problems"] for row in rows(tmp_path / "run" / "evaluations" / "rl-math.jsonl")] == [3, 3, 3]


def test_data_that_changed_is_not_taken_for_the_same(words: list[Any], tmp_path: Path) -> None:
    assert inside(*words, "--stage", "sft").code == 0
    (tmp_path / "told.jsonl").write_text((tmp_path / "told.jsonl").read_text().replace("1 + 1", "1 + 2"))
    refused = inside(*words, "--stage", "sft")
    assert refused.code == 2, refused.err
    assert "stage sft was made with other settings" in refused.lines[-1]


def test_the_control_of_more_sft_wants_sft_data(words: list[Any], tmp_path: Path) -> None:
    path = write(tmp_path / "rl.jsonl", MATH)
    more = ["--sft.data", "", "--sft.steps", 0, "--model.path", tmp_path, "--rl_math.controls", "sft"]
    outcome = inside(*words, *more, "--stage", "sft,rl-math", "--rl_math.data", path)
    assert outcome.code == 2, outcome.err
    assert "rl_math.controls='sft': needs sft.data" in outcome.lines[-1]


def test_a_budget_that_leaves_no_room_for_a_prompt_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"max_position_embeddings": 96}')
    words = ("--stage", "sft,rl-math", "--model.path", tmp_path / "model", "--rl_math.max_new_tokens", "96", "--run-dir", tmp_path / "run")
    for more, positions in ((), 96), (("--model.positions", "90"), 90):
        refused = inside(*words, *more)
        assert refused.code == 2 and not (tmp_path / "run" / "checkpoints").exists()
        assert f"rl_math.max_new_tokens=96: leaves no room for a prompt in the model's {positions} positions" in refused.lines[-1]


def test_a_model_gets_the_positions_that_a_recipe_wants(tmp_path: Path) -> None:
    profile = tmp_path / "mini.toml"
    profile.write_text(PROFILE.replace('controls = ["clip"]', ""))
    assert inside("--profile", profile, "--stage", "sft", "--sft.steps", "6", "--run-dir", tmp_path / "one").code == 0
    words = ("--profile", profile, "--stage", "sft", "--sft.steps", "6", "--model.path", tmp_path / "one/checkpoints/sft/step-6")
    assert inside(*words, "--model.positions", "640", "--run-dir", tmp_path / "two").code == 0
    written = tmp_path / "two" / "checkpoints" / "sft" / "step-6" / "config.json"
    assert json.loads(written.read_text())["max_position_embeddings"] == 640


def test_servers_that_are_not_named_are_asked_for_before_anything_runs(tmp_path: Path) -> None:
    refused = inside("--stage", "sft,rl-math", "--rl_math.engine", "vllm-server", "--run-dir", tmp_path / "run")
    assert refused.code == 2 and not (tmp_path / "run" / "checkpoints").exists()
    assert "rl_math.endpoints='': needed by engine=vllm-server" in refused.lines[-1]
