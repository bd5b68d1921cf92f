"""Evaluation as a user runs it: shards, several processes, both sandbox modes, HumanEval, attribution, what is not there."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest
from klear_program import environment, finish, inside, klear, processes_below, rows, snapshot, start, wait_for

from benchmarks import BenchmarkWarning, load_benchmark
from benchmarks.records import CodeTest, Problem, read_generations, read_grades
from klear_repro.config import Config, load_config
from klear_repro.data.tokenizer import train_tokenizer
from klear_repro.errors import RunError
from klear_repro.judging import Judges
from klear_repro.models import new_model
from klear_repro.sections import ModelConfig
from klear_repro.store import SampleStore
from sandbox import IsolationUnavailable
from sandbox.worker import Worker

PROTOCOL = """
name = "tiny"
description = ""
max_new_tokens = 24
samples = 4
judges = ["strict", "klear"]
[sampling]
temperature = 1.0
"""


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint, six problems and a protocol."""
    folder = tmp_path_factory.mktemp("setting")
    tokenizer = train_tokenizer(["Find 12 + 34. <think>\n\n</think>\n\n\\boxed{46} What is 7 times 8? " * 20], 320)
    config = ModelConfig(hidden_size=32, layers=1, heads=2, kv_heads=1, head_dim=16, intermediate_size=64, vocab_size=320,
                         max_position=2048, initializer_range=0.3)  # fmt: skip
    tokenizer.save_pretrained(folder / "tiny")
    new_model(config, tokenizer, 5).save_pretrained(folder / "tiny")
    problems = [Problem(benchmark="mini-aime", id=f"p{i}", kind="math", statement=f"Find {i} + 34.", answer=str(i % 4)) for i in range(6)]
    (folder / "mini-aime.jsonl").write_text("".join(problem.model_dump_json() + "\n" for problem in problems))
    (folder / "tiny.toml").write_text(PROTOCOL)
    return folder


def words(setting: Path, run: Path, *more: Any) -> list[Any]:
    return ["--stage", "eval", "--model", setting / "tiny", "--benchmark", "mini-aime", "--benchmark-path", setting, "--protocol",
            setting / "tiny.toml", "--run-dir", run, "--runtime.threads", "1", *more]  # fmt: skip


def texts(run: Path) -> dict[Any, str]:
    found, left_out = read_generations(run / "generations" / "mini-aime" / "tiny.jsonl")
    assert not left_out
    return {row.key: row.text for row in found}


@pytest.fixture(scope="module")
def whole(setting: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole")
    outcome = klear(*words(setting, run))
    assert outcome.code == 0, outcome.err
    return run


def test_every_sample_names_the_resolved_protocol_and_what_the_engine_used(whole: Path):
    stored, _ = read_generations(whole / "generations" / "mini-aime" / "tiny.jsonl")
    (name,) = {row.settings for row in stored}
    settings = json.loads((whole / "generations" / "mini-aime" / "settings" / f"{name}.json").read_text())
    assert settings["protocol"]["max_new_tokens"] == 24 and settings["protocol"]["sampling"]["temperature"] == 1.0
    assert settings["engine"]["name"] == "hf" and settings["engine"]["max_model_len"] == 2048 and settings["engine"]["versions"]["torch"]
    assert settings["engine"]["stop_ids"] and settings["engine"]["sampling"]["max_new_tokens"] == 24
    (entry,) = json.loads((whole / "manifest.json").read_text())["evaluations"]
    assert entry["settings"] == [name]


def test_shards_take_from_one_queue_and_grade_nothing(setting: Path, whole: Path, tmp_path: Path):
    run = tmp_path / "run"
    alone = inside(*words(setting, run, "--eval.shard", "1/2"))
    assert alone.code == 0 and "24 of 24 samples were missing, and all are there now" in alone.err, alone.err
    late = inside(*words(setting, run, "--eval.shard", "2/2"))
    assert late.code == 0 and "all 24 samples are there; grade them with the same command without --eval.shard" in late.err
    assert not (run / "grades").exists() and texts(run) == texts(whole)
    outcome = inside(*words(setting, run))
    assert outcome.code == 0 and "none generated" in outcome.err
    assert sum(1 for _ in read_grades(run / "grades" / "mini-aime" / "tiny.parquet")) == 48


def test_a_shard_of_another_checkpoint_is_refused(setting: Path, tmp_path: Path):
    run = tmp_path / "run"
    assert inside(*words(setting, run, "--eval.shard", "1/2")).code == 0
    before = snapshot(run)
    changed = shutil.copytree(setting / "tiny", tmp_path / "tiny")
    (changed / "config.json").write_text((changed / "config.json").read_text() + "\n")
    command = words(setting, run, "--eval.shard", "2/2")
    command[command.index("--model") + 1] = changed
    refused = inside(*command)
    assert refused.code == 2 and "in this run folder are of" in refused.lines[-1], refused.err
    assert snapshot(run) == before


@pytest.mark.parametrize("shard", ["0/2", "3/2", "x", "1/2,"])
def test_shards_that_cannot_be_are_refused(setting: Path, tmp_path: Path, shard: str):
    outcome = inside(*words(setting, tmp_path, "--eval.shard", shard))
    assert outcome.code == 2 and "must be I/N with I from 1 to N" in outcome.lines[-1]


def test_three_workers_make_the_same_samples_as_one(setting: Path, whole: Path, tmp_path: Path):
    outcome = inside(*words(setting, tmp_path / "run", "--eval.data_parallel", "3", "--eval.slots", "2"))
    assert outcome.code == 0, outcome.err
    counted = [line for line in outcome.lines if "eval tiny mini-aime: " in line and "/24 samples" in line]
    # One line for all workers together: none of them has lines of its own.
    assert counted[-1].startswith("eval tiny mini-aime: 24/24 samples") and not [line for line in counted if line.startswith("[")]
    assert texts(tmp_path / "run") == texts(whole)
    assert sum(1 for _ in read_grades(tmp_path / "run" / "grades" / "mini-aime" / "tiny.parquet")) == 48


def test_the_process_that_evaluates_loads_no_model(setting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: Any, **options: Any) -> NoReturn:
        raise AssertionError("a model was loaded in this process")

    monkeypatch.setattr("klear_repro.models.load", refuse)
    assert inside(*words(setting, tmp_path / "run")).code == 0


def test_a_second_process_is_refused_unless_both_make_shards(setting: Path, tmp_path: Path):
    run = tmp_path / "run"
    more = ("--samples", "400", "--eval.slots", "4")
    first = start(*words(setting, run, *more, "--eval.shard", "1/2"))
    wait_for(lambda: len(rows(run / "generations" / "mini-aime" / "tiny.jsonl")) > 8, first, "samples")
    refused = klear(*words(setting, run, *more))
    assert refused.code == 2 and "another process is running in it" in refused.lines[-1]
    second = start(*words(setting, run, *more, "--eval.shard", "2/2"))
    for process in (first, second):
        outcome = finish(process)
        assert outcome.code == 0, outcome.err
    stored = [line for line in (run / "generations" / "mini-aime" / "tiny.jsonl").read_bytes().splitlines() if line.strip()]
    assert len(stored) == 2400 == len(texts(run))


def stop_between_samples(process: subprocess.Popen[str], file: Path) -> list[int]:
    """Stop a command that generates, with its workers, while none of them holds the lock of its file; returns their process ids."""
    while True:
        stopped = [process.pid, *processes_below(process.pid)]
        signal_all(stopped, signal.SIGSTOP)
        with file.open("rb") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return stopped
            except BlockingIOError:
                signal_all(stopped, signal.SIGCONT)
        time.sleep(0.01)


def signal_all(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        os.kill(process, number)


def test_a_shard_joins_a_command_that_generates_which_waits_for_it_and_grades(setting: Path, tmp_path: Path):
    run = tmp_path / "run"
    more = ("--samples", "100", "--eval.slots", "1")
    file = run / "generations" / "mini-aime" / "tiny.jsonl"
    first = start(*words(setting, run, *more))
    wait_for(lambda: len(rows(file)) > 8, first, "samples")
    stopped = stop_between_samples(first, file)  # else it may have all of them before the shard has loaded its model
    try:
        there = len(rows(file))
        joining = start(*words(setting, run, *more, "--eval.shard", "2/2"))
        wait_for(lambda: len(rows(file)) > there + 100, joining, "samples of the shard beyond its canary")
    finally:
        signal_all(stopped, signal.SIGCONT)
    shard, outcome = finish(joining), finish(first)
    assert shard.code == outcome.code == 0, shard.err + outcome.err
    assert any("samples were missing, and all are there now" in line for line in shard.lines), shard.lines
    assert len(rows(run / "generations" / "mini-aime" / "tiny.jsonl")) == 600 == len(texts(run))
    assert sum(1 for _ in read_grades(run / "grades" / "mini-aime" / "tiny.parquet")) == 1200


def kill_and_go_on(setting: Path, run: Path, kills: int, samples: int, problems: int, more: list[Any], seed: int) -> int:
    """SIGKILL the evaluation `kills` times at random moments while it generates, then let it finish; returns how many hit it there."""
    rng, file, hit = random.Random(seed), run / "generations" / "mini-aime" / "tiny.jsonl", 0
    for turn in range(10 * kills):
        if hit == kills:
            break
        process = start(*words(setting, run, "--samples", samples, *more))
        before = len(rows(file))
        target = before + rng.randrange(1, max(2, (samples * problems - before) // (kills - hit + 1)))
        end = time.monotonic() + 120
        while len(rows(file)) < target and process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.05))
        there = file.read_bytes() if file.exists() else b""
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode in (0, -signal.SIGKILL)
        after = file.read_bytes()
        whole_lines = there[: there.rfind(b"\n") + 1]
        assert after.startswith(whole_lines), f"kill {turn}: finished samples were touched"
        hit += process.returncode != 0 and len(rows(file)) < samples * problems
    outcome = klear(*words(setting, run, "--samples", samples, *more))
    assert outcome.code == 0, outcome.err
    lines = [line for line in file.read_bytes().split(b"\n") if line.strip()]
    stored, left_out = read_generations(file)
    assert not left_out and len(lines) == len(stored) == samples * problems == len({(row.problem_id, row.sample_index) for row in stored})
    return hit


def test_an_evaluation_killed_three_times_has_every_sample_once_and_no_other_text(setting: Path, tmp_path: Path):
    assert kill_and_go_on(setting, tmp_path / "killed", 3, 200, 6, ["--eval.slots", "8"], seed=1) == 3
    outcome = klear(*words(setting, tmp_path / "whole", "--samples", 200, "--eval.slots", "8"))
    assert outcome.code == 0, outcome.err
    assert texts(tmp_path / "killed") == texts(tmp_path / "whole")


@pytest.mark.proof
def test_an_avg_at_64_run_of_30_problems_killed_20_times_has_1920_samples(setting: Path, shared: Path, tmp_path: Path):
    """Budget: 5 minutes on two cores.  AIME 2024 itself, with the tiny checkpoint."""
    problems = [one.model_copy(update={"benchmark": "mini-aime"}) for one in load_benchmark("aime24", shared / "data")]
    (tmp_path / "mini-aime.jsonl").write_text("".join(problem.model_dump_json() + "\n" for problem in problems))
    more = ["--benchmark-path", tmp_path, "--eval.slots", "8", "--eval.max_model_len", "2048"]
    assert kill_and_go_on(setting, tmp_path / "killed", 20, 64, 30, more, seed=2) == 20
    print("\n20 kills, 1,920 samples, none twice")


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Process ids of the workers of an evaluation."""
    found = []
    for pid in processes_below(process.pid):
        with contextlib.suppress(OSError):  # it has ended
            if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return [pid for server in found for pid in processes_below(server) if pid in found]


@pytest.mark.proof
def test_workers_killed_20_times_at_random_moments_cost_no_key_and_no_second_sample(setting: Path, tmp_path: Path):
    """Budget: 10 minutes on two cores.  Three workers; a command whose last worker is killed is started again."""
    run, rng, kills, commands = tmp_path / "killed", random.Random(3), 0, 0
    file, more = run / "generations" / "mini-aime" / "tiny.jsonl", ("--samples", "100", "--eval.slots", "4")
    while kills < 20:
        process, commands = start(*words(setting, run, *more, "--eval.data_parallel", "3")), commands + 1
        wait_for(lambda: len(workers_of(process)) == 3, process, "workers")  # noqa: B023
        alive = set(workers_of(process))
        while alive:
            before, wanted = len(rows(file)), rng.randrange(1, 10)
            wait_for(lambda: len(rows(file)) >= before + wanted, process, "samples")  # noqa: B023
            time.sleep(rng.uniform(0, 0.1))
            alive.remove(victim := rng.choice(sorted(alive)))
            os.kill(victim, signal.SIGKILL)
            kills += 1
        outcome = finish(process)
        assert outcome.code == 1 and "was ended by SIGKILL" in outcome.lines[-1], outcome.err
        assert "the same command goes on" in outcome.lines[-1]
        assert len(rows(file)) < 600
    for folder in (run, tmp_path / "whole"):
        outcome = finish(start(*words(setting, folder, *more)), timeout=600)
        assert outcome.code == 0, outcome.err
    lines = [line for line in file.read_bytes().split(b"\n") if line.strip()]
    assert len(lines) == 600 == len(texts(run)) and texts(run) == texts(tmp_path / "whole")
    print(f"\n{kills} workers killed in {commands} commands: 600 samples, none missing, none twice, every text as without a kill")


def test_the_attribution_between_two_protocols_is_run_and_reported(setting: Path, tmp_path: Path):
    (tmp_path / "to.toml").write_text(PROTOCOL.replace('"tiny"', '"to"') + "top_k = 3\nrepetition_penalty = 1.2\n")
    command = words(setting, tmp_path / "run", "--attribute", f"{setting / 'tiny.toml'},{tmp_path / 'to.toml'}")
    command[1] = "eval,report"
    outcome = klear(*command)
    assert outcome.code == 0, outcome.err
    (entry,) = json.loads((tmp_path / "run" / "manifest.json").read_text())["attributions"]
    assert set(entry["variants"]) == {"from", "top_k", "repetition_penalty", "to"}
    report = (tmp_path / "run" / "report" / "report.md").read_text()
    assert "Attribution" in report and "sampling.top\\_k 0 → 3" in report and "remainder" in report
    assert "left out: of another checkpoint or sampling" not in report
    refused = inside(*words(setting, tmp_path / "other", "--attribute", "klear-paper-32k,nothing"))
    assert refused.code == 2 and "unknown protocol 'nothing'" in refused.lines[-1]
    refused = inside(*words(setting, tmp_path / "other", "--attribute", "klear-paper-32k"))
    assert refused.code == 2 and "FROM,TO" in refused.lines[-1]


def test_several_checkpoints_are_evaluated_and_one_of_them_attributed_in_one_run(setting: Path, tmp_path: Path):
    (tmp_path / "to.toml").write_text(PROTOCOL.replace('"tiny"', '"to"') + "top_k = 3\n")
    for name in ("one", "two"):
        shutil.copytree(setting / "tiny", tmp_path / name / "step-1")
    models = ["--model", f"{tmp_path / 'one' / 'step-1'},{tmp_path / 'two' / 'step-1'}"]
    attribution = ("--attribute", f"{setting / 'tiny.toml'},{tmp_path / 'to.toml'}", "--eval.attribute_model", "two-step-1")
    command = words(setting, tmp_path / "run", *attribution)
    command[1] = "eval,report"
    command[command.index("--model") + 1] = tmp_path / "one" / "step-1"
    outcome = klear(*command, *models)
    assert outcome.code == 0, outcome.err
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert [(entry["model"], entry["samples"]) for entry in manifest["evaluations"]] == [("one-step-1", 24), ("two-step-1", 24)]
    (entry,) = manifest["attributions"]
    assert entry["model"] == "two-step-1" and entry["variants"]["from"]["generated"] == 0 and entry["variants"]["top_k"]["generated"] == 24
    stored = tmp_path / "run" / "generations" / "mini-aime"
    assert [len(rows(stored / f"{name}-step-1.jsonl")) for name in ("one", "two")] == [24, 48]  # FROM is the evaluation's own protocol
    assert "72 samples" in outcome.err
    report = (tmp_path / "run" / "report" / "report.md").read_text()
    assert "Attribution" in report and "one-step-1" in report and "left out: of another" not in report
    assert "done already" in inside(*command, *models).err
    twice = ["--model", f"{models[1]},{tmp_path / 'two' / 'step-1'}"]
    unknown = ("--eval.attribute_model", "step-1"), "one-step-1, two-step-1"
    for more, said in (unknown, (("--eval.revision", "x"), "of which of 2 models"), (twice, "stands there twice")):
        refused = inside(*command, *models, "--run-dir", tmp_path / "other", *more)
        assert refused.code == 2 and said in refused.lines[-1], refused.err
        assert not (tmp_path / "other").exists()
    refused = inside(*words(setting, tmp_path / "other", "--eval.attribute_model", "tiny"))
    assert refused.code == 2 and "only with attribute" in refused.lines[-1]


# --- programs -------------------------------------------------------------------------------------


def stored_programs(folder: Path, benchmark: str, programs: dict[str, list[str]]) -> list[Any]:
    from benchmarks.records import Generation

    with SampleStore(folder / "g.jsonl") as store:
        for identity, listed in programs.items():
            for index, program in enumerate(listed):
                store.add(Generation(
                    model="m", revision="r", benchmark=benchmark, problem_id=identity, sample_index=index, prompt_hash="p",
                    sampling_hash="s", text=f"<think>\n</think>\n```python\n{program}\n```", token_count=1, finish_reason="stop",
                    seed=index, seconds=0,
                ))  # fmt: skip
        return list(store)


def test_programs_are_judged_in_both_modes_with_soft_scores(tmp_path: Path):
    from benchmarks.protocols import load_protocol

    tests = tuple(CodeTest(input=f"{i} {i}\n", expected=f"{2 * i}\n") for i in range(40))
    problem = Problem(benchmark="lcb_v6", id="sum", kind="code", statement="", tests=tests)
    listed = [
        "print(sum(map(int, input().split())))",
        "import sys\nfor line in sys.stdin: print(sum(map(int, line.split())))",
        "a, b = map(int, input().split())\nprint(a + b if a < 20 else 0)",
        "def broken(",
    ]
    rows = stored_programs(tmp_path, "lcb_v6", {"sum": listed})
    protocol = load_protocol("klear-paper-32k").for_benchmark("lcb_v6", "code")
    assert protocol.samples == 8
    with Judges(Config(), tmp_path / "journal.jsonl") as judges:
        grades = judges.grade({"sum": problem}, protocol, rows)
    native = [grade for grade in grades if grade.grader == "native"]
    compat = [grade for grade in grades if grade.grader == "lcb_compat"]
    assert [grade.correct for grade in native] == [True, True, False, False]
    assert [grade.correct for grade in compat] == [True, False, False, False]
    assert [grade.verdict for grade in native] == ["AC", "AC", "WA", "CE"]
    assert native[0].score == 1.0 and 0.1 <= native[2].score <= 0.9 and native[3].score == 0
    said = [[one.split(":")[:2] for one in grade.tests.split()] for grade in native]
    assert said[0] == [[str(place), "AC"] for place in range(40)]
    assert dict(said[2])["20"] == "WA" and dict(said[2])["19"] == "AC" and 21 <= len(said[2]) < 40
    assert native[2].failure == "printed '0\\n', expected '40\\n'" and native[0].failure == ""
    assert "SyntaxError" in native[3].failure
    kept = (tmp_path / "journal.jsonl").read_bytes()
    began = time.monotonic()
    with Judges(Config(), tmp_path / "journal.jsonl") as judges:
        again = judges.grade({"sum": problem}, protocol, rows)
    assert again == grades and (tmp_path / "journal.jsonl").read_bytes() == kept and time.monotonic() - began < 5
    exact = load_config("smoke", {"eval.soft_tests": "0", "eval.code_mode": "native"})
    with Judges(exact) as judges:
        (third,) = [grade for grade in judges.grade({"sum": problem}, protocol, rows[2:3]) if grade.grader == "native"]
    assert third.score == 0.5


def test_programs_are_not_judged_without_a_sandbox_and_that_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from benchmarks.protocols import load_protocol

    def refuse(worker: Worker) -> NoReturn:
        raise IsolationUnavailable(f"tier {worker.tier}: refused")

    monkeypatch.setattr(Worker, "start", refuse)
    problem = Problem(benchmark="lcb_v6", id="echo", kind="code", statement="", tests=(CodeTest(input="1\n", expected="1\n"),))
    rows = stored_programs(tmp_path, "lcb_v6", {"echo": ["print(input())"]})
    with Judges(Config()) as judges, pytest.raises(RunError, match="programs cannot be judged: no isolation is possible here"):
        judges.grade({"echo": problem}, load_protocol("klear-paper-32k").for_benchmark("lcb_v6", "code"), rows)


def test_human_eval_solutions_pass_as_whole_functions_and_as_bodies(shared: Path, tmp_path: Path):
    from benchmarks.protocols import load_protocol

    problems = {problem.id: problem for problem in load_benchmark("humaneval", shared / "data")}
    solutions = [json.loads(line) for line in (shared / "data" / "human_eval.jsonl").read_text().splitlines()]
    programs = {one["task_id"]: [one["prompt"] + one["canonical_solution"], one["canonical_solution"], "    pass"] for one in solutions}
    rows = stored_programs(tmp_path, "humaneval", programs)
    protocol = load_protocol("short-answer").for_benchmark("humaneval", "code")
    assert protocol.prompt.name == "humaneval"
    with Judges(Config()) as judges:
        grades = judges.grade(problems, protocol, rows)
    passed = [grade.key.sample_index for grade in grades if grade.key and grade.correct]
    assert [passed.count(index) for index in range(3)] == [164, 164, 0]


def test_a_window_of_livecodebench_is_imported_and_judged_on_its_tests(shared: Path, tmp_path: Path):
    """Three real problems with their real model programs, dated into the window of lcb_v6."""
    listed, outputs = [], []
    for number, line in enumerate((shared / "data" / "lcb_v1_sample.jsonl").read_text().splitlines()):
        row = json.loads(line)
        common = {
            "question_id": f"q{number}", "question_content": row["content"], "contest_date": f"2025-0{number + 2}-03T00:00:00",
            "platform": "leetcode", "difficulty": ["easy", "medium", "hard"][number], "starter_code": "",
        }  # fmt: skip
        tests = {"public_test_cases": "[]", "private_test_cases": row["test"], "metadata": "{}", "question_title": "t"}
        listed.append(common | tests)
        output = {"output_list": ["```python\npass\n```"], "code_list": ["pass"], "graded_list": [False]}
        outputs.append(common | output)
    (tmp_path / "lcb.jsonl").write_text("".join(json.dumps(row) + "\n" for row in listed))
    (tmp_path / "eval_all.json").write_text(json.dumps(outputs))
    with pytest.warns(BenchmarkWarning, match="3 problems in the window"):
        assert len(load_benchmark("lcb_v6", tmp_path / "lcb.jsonl")) == 3
    outcome = klear("--stage", "import,report", "--traces.paths", tmp_path / "eval_all.json", "--traces.model", "m", "--benchmark",
                    "lcb_v6", "--benchmark-path", tmp_path / "lcb.jsonl", "--run-dir", tmp_path / "run")  # fmt: skip
    assert outcome.code == 0, outcome.err
    grades = list(read_grades(tmp_path / "run" / "grades" / "lcb_v6" / "m.parquet"))
    assert sorted({grade.grader for grade in grades}) == ["lcb_compat", "native", "recorded"] and len(grades) == 9
    report = (tmp_path / "run" / "report" / "report.md").read_text()
    assert "difficulty" in report and "2025-03" in report


# --- what is not there ------------------------------------------------------------------------------


def test_without_vllm_one_line_says_what_is_missing_and_what_works_before_anything_is_downloaded(tmp_path: Path):
    from importlib.util import find_spec

    if (spec := find_spec("vllm")) is not None and spec.origin is not None:
        pytest.skip("vLLM is installed here")
    outcome = klear("--stage", "eval,report", "--profile", "klear-8b-eval", "--model", "org/name", "--run-dir", tmp_path,
                    env=environment(HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="0"))  # fmt: skip
    assert outcome.code == 2 and len(outcome.lines) == 1
    assert "vLLM is not installed" in outcome.err and "--engine hf and --engine openai work without it" in outcome.err


def test_a_checkpoint_with_missing_or_misshapen_weights_is_refused(setting: Path, tmp_path: Path):
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(setting / "tiny", tmp_path / "tiny")
    weights = load_file(tmp_path / "tiny" / "model.safetensors")
    name = next(name for name in weights if "mlp" in name)
    for broken in ({key: value for key, value in weights.items() if key != name}, weights | {name: weights[name][:3].clone()}):
        save_file(broken, tmp_path / "tiny" / "model.safetensors", metadata={"format": "pt"})
        command = words(setting, tmp_path / "run")
        command[command.index("--model") + 1] = tmp_path / "tiny"
        outcome = klear(*command)
        assert outcome.code == 2 and "Traceback" not in outcome.err, outcome.err
        assert "tiny: 1 weights are missing or of another shape" in outcome.lines[-1] and name in outcome.lines[-1]


def test_changed_protocols_of_an_attribution_are_measured_anew(setting: Path, tmp_path: Path):
    (tmp_path / "to.toml").write_text(PROTOCOL.replace('"tiny"', '"to"') + "top_k = 3\n")
    command = words(setting, tmp_path / "run", "--attribute", f"{setting / 'tiny.toml'},{tmp_path / 'to.toml'}")
    assert inside(*command).code == 0
    assert "done already" in inside(*command).err
    (tmp_path / "to.toml").write_text(PROTOCOL.replace('"tiny"', '"to"') + "top_k = 5\n")
    assert "top_k 0 → 5" in inside(*command).err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--eval.prompt", "nosuch"), "no prompt 'nosuch'; allowed: bare"),
        (("--benchmark", ","), "must be at least one name"),
        (("--model", "org/na me"), "neither a folder here nor an id"),
        (("--model", "~nosuchuser/x"), "no such home folder"),
        (("--eval.max_model_len", "4096"), "the model has 2048 positions"),
    ],
)
def test_mistakes_are_one_line(setting: Path, tmp_path: Path, more: tuple[str, str], said: str):
    outcome = inside(*words(setting, tmp_path / "run", *more))
    assert outcome.code == 2 and said in outcome.lines[-1], outcome.err


def test_a_model_without_a_chat_template_is_told_which_prompt_needs_none(setting: Path, tmp_path: Path):
    import shutil

    shutil.copytree(setting / "tiny", tmp_path / "tiny")
    for file in (tmp_path / "tiny").glob("*.jinja"):
        file.unlink()
    config = json.loads((tmp_path / "tiny" / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (tmp_path / "tiny" / "tokenizer_config.json").write_text(json.dumps(config))
    command = words(setting, tmp_path / "run")
    command[command.index("--model") + 1] = tmp_path / "tiny"
    outcome = inside(*command)
    assert outcome.code == 2 and "--eval.prompt lm-eval needs none" in outcome.lines[-1], outcome.err
    assert inside(*command, "--eval.prompt", "lm-eval").code == 0
