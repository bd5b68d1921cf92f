"""Data of one's own: what cannot be trained on is one line, before anything is written; what changed is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest
from klear_program import PROFILE, inside, rows

from klear_repro.data.sources import rl_rows
from klear_repro.engines.base import Completion
from klear_repro.errors import RunError, UserError
from klear_repro.rewards import RewardModel, Rollout
from klear_repro.training.prompts import Prompt, check_row, code_tests
from klear_repro.training.rl import score
from sandbox import IsolationUnavailable, Limits, Result, TestResult, Verdict
from sandbox.worker import Worker

MATH = {"data_source": "math_longcot_math_verify", "prompt": [{"role": "user", "content": "1 + 1"}], "ability": "math",
        "reward_model": {"ground_truth": "2", "style": "rule"}}  # fmt: skip
ASKED, TOLD = {"role": "user", "content": "1 + 1"}, {"role": "assistant", "content": "2"}


def code(tests: str) -> dict[str, Any]:
    return {**MATH, "data_source": "coder1_longcot", "ability": "code", "reward_model": {"ground_truth": tests}}


def form(name: str, tests: Any) -> dict[str, Any]:
    return code(json.dumps({name: tests}))


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
        (CODE, form("functional", "assert f(1) =="), "row 2: reward_model.ground_truth: functional: not Python (invalid"),
        (CODE, form("functional", []), "functional=[]: must be a program of asserts or a list of them"),
        (CODE, form("functional", ["assert f(1) == 2", "import pandas"]), "functional[1]: imports pandas, and the sandbox"),
        (CODE, form("pytest", "def test_f(capsys):\n    assert f(1) == 2"), "pytest: needs the fixture capsys, and there are none"),
        (CODE, code(json.dumps({"inputs_file": "a", "outputs_file": "b"})), "inputs_file, outputs_file is not supported"),
        (CODE, code('{"inputs": ["1"], "outputs": ["2"], "timeout": 0}'), "timeout=0: must be a number of seconds from 0.01 on"),
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
    row = {"inputs": ["1", "2", "3"], "outputs": ["1", "2", "3"], "max_test_cases": 2, "timeout": 9}
    tests, most, seconds = code_tests(json.dumps(row))
    assert (len(tests), most, seconds) == (3, 2, 9)
    assert code_tests(json.dumps(tests)) == (tests, 0, 0)
    counts: list[int] = []
    seen: list[Any] = []

    class Told:
        workers = 1

        def run(self, code: str, tests: list[Any], limits: Limits, **options: Any) -> Result:
            seen.extend(test.input for test in tests)
            return Result([TestResult(Verdict.AC)] * len(tests), total=len(tests))

    for largest in (16, 1):
        rewards = RewardModel("paper", workers=1, max_tests=largest, limits=Limits())
        monkeypatch.setattr(rewards, "_executor", Told())
        completion = Completion(None, (1,), (-0.5,), "<think></think>```python\nprint(input())\n```", "stop", 0.1)
        for allowed in (most, 0):
            score(rewards, [Prompt((1,), "coder1_longcot", tests, allowed)], [[completion]], [0], retries=0)
            counts.append(len(seen) - sum(counts))
    assert counts == [2, 3, 1, 1]


@pytest.mark.parametrize("source", ["math_longcot_math_verify_aime2024", "math_longcot_math_verify_aime2025"])
def test_validation_rows_name_their_benchmark_after_the_data_source(source: str) -> None:
    check_row({**MATH, "data_source": source}, "here")
    (scored,) = RewardModel("release", workers=1, max_tests=4, limits=Limits()).score([Rollout(source, "</think>", "2", 0)])
    assert scored.reward == -2
    check_row({**CODE, "data_source": "coder1_longcot_lcbv5"}, "here")
    with pytest.raises(UserError, match="data_source='aime2024_math_longcot_math_verify'"):
        check_row({**MATH, "data_source": "aime2024_math_longcot_math_verify"}, "here")


FORMS = {
    "functional": ({"functional": "assert f(1) == 2"}, 1, False),
    "a list of functional": ({"functional": ["assert f(1) == 2", "for n in range(3):\n    assert f(n) == n + 1"]}, 2, True),
    "pytest": ({"pytest": "from solution import f\ndef test_f():\n    assert f(1) == 2", "inputs": None, "functional": None}, 1, False),
    "texts": ({"inputs": ["1"], "outputs": ["2"]}, 1, False),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_released_forms_are_read_as_objects_and_as_json(name: str) -> None:
    truth, count, cheatable = FORMS[name]
    given = {field: value for field, value in truth.items() if value is not None}
    for one in (truth, json.dumps(truth), json.dumps(given)):
        tests = code_tests(one)
        assert (len(tests.tests), tests.cheatable) == (count, cheatable)


def test_inputs_that_are_lists_are_joined_as_the_release_joins_them() -> None:
    tests = code_tests({"inputs": [["1", 2], "3"], "outputs": ["4", ["5", "6"]]}).tests
    assert tests == [{"input": "1, 2", "expected": "4"}, {"input": "3", "expected": "5, 6"}]


PASSES, FAILS = "def f(n):\n    return n + 1", "def f(n):\n    return 2"


@pytest.mark.parametrize(
    ("name", "program", "release", "paper"),
    [
        ("functional", PASSES, 1, 1), ("functional", "def f(n):\n    return 3", -1, 0),
        ("a list of functional", PASSES, 1, 1), ("a list of functional", FAILS, 0, 0.5),
        ("pytest", PASSES, 1, 1), ("pytest", "def f(n):\n    exit(0)", -1, 0),
    ],
)  # fmt: skip
def test_the_released_forms_score_as_in_the_release(name: str, program: str, release: float, paper: float) -> None:
    tests = code_tests(FORMS[name][0])
    for preset, wanted in (("release", release), ("paper", paper)):
        with RewardModel(preset, workers=2, max_tests=16, limits=Limits(cpu_s=2, wall_s=9, memory_mb=256)) as rewards:  # type: ignore[arg-type]
            completion = Completion(None, (1,), (-0.5,), f"<think></think>```python\n{program}\n```", "stop", 0.1)
            (group,) = score(rewards, [Prompt((1,), "coder1_longcot", *tests)], [[completion]], [0], retries=0)
        assert group.scores[0].reward == wanted


def test_a_bad_row_is_skipped_and_counted_and_the_report_says_what_can_be_cheated(words: list[Any], tmp_path: Path) -> None:
    good = [form("functional", f"assert f({n}) == {n}") for n in range(15)]
    beside = [form("functional", f"for n in range({n}):\n    assert f(n) == n") for n in range(3)]
    long = {**good[0], "prompt": [{"role": "user", "content": "1 + 1 " * 60}]}
    path = write(tmp_path / "rl.jsonl", *good, form("pytest", "def test_f(tmp_path): assert f(1)"), *beside, long)
    with open(path, "a") as file:
        file.write("{broken\n")
    go = [*words, "--rl_code.data", path, "--rl_math.steps", 0, "--rl_code.max_prompt_tokens", 100]
    outcome = inside(*go, "--stage", "sft,rl-math,rl-code")
    assert outcome.code == 0, outcome.err
    reason = "2 of 21 rows cannot be used and are skipped: row 16: reward_model.ground_truth: pytest: needs the fixture tmp_path"
    assert f"rl_code.data='{path}': {reason}" in outcome.err and "row 21: cannot be read (not JSON, " in outcome.err
    assert "rl_code.data: 1 of 19 prompts are longer than max_prompt_tokens=100 and left out" in outcome.err
    funnel = json.loads((tmp_path / "run" / "data" / "funnel.json").read_text())["rl-code"]
    assert funnel == {"rows": 21, "usable": 19, "short enough": 18, "cheatable: tests run beside the program": 3}
    assert inside(*go, "--stage", "report").code == 0
    said = "The tests of 3 of 18 problems of rl-code run in the process of the program they judge"
    assert said in (tmp_path / "run" / "report" / "report.md").read_text()
    refused = inside(*go, "--stage", "rl-code", "--rl_code.max_skipped", 0.05, "--force")
    assert refused.code == 2
    assert "(2 of 21 rows cannot be used, rl_code.max_skipped=0.05 allows 1)" in refused.lines[-1]
    refused = inside(*go, "--stage", "rl-code", "--rl_code.max_prompt_tokens", 3, "--force")
    assert refused.code == 2
    assert "rl_code.max_prompt_tokens=3: all 19 prompts of rl_code.data are longer" in refused.lines[-1]


def test_a_bad_row_of_sft_data_is_skipped_and_said(words: list[Any], tmp_path: Path) -> None:
    path = write(tmp_path / "told.jsonl", *({"prompt": f"{n} + 1", "response": f"{n + 1}"} for n in range(10)), {"prompt": "1 + 1"})
    outcome = inside(*words, "--stage", "sft", "--sft.data", path)
    assert outcome.code == 0, outcome.err
    assert f"sft.data='{path}': 1 of 11 rows cannot be used and are skipped: row 11 must have messages" in outcome.err


def test_texts_stay_texts_where_a_column_has_other_values_too(tmp_path: Path) -> None:
    path = write(tmp_path / "rl.jsonl", answer("[1, 2]"), answer(7), code(json.dumps({"inputs": ["1"], "outputs": ["007"]})))
    read = rl_rows(str(path), "", "rl_math.data")
    assert [row["reward_model"]["ground_truth"] for row in read.rows][:2] == ["[1, 2]", 7]
    assert read.skipped == 0


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
