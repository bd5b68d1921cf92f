"""lm-eval both ways: the stock program runs the task files, and a stored run is scored by it through a replay."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from klear_program import ROOT, environment, inside

from benchmarks import load_benchmark
from benchmarks.estimators import avg_at_n, clustered_standard_error
from benchmarks.records import Generation, read_grades
from klear_repro.data.tokenizer import train_tokenizer
from klear_repro.errors import UserError
from klear_repro.integrations.lm_eval_replay import ReplayLM
from klear_repro.models import new_model
from klear_repro.sections import ModelConfig
from klear_repro.store import SampleStore

TASKS = ROOT / "benchmarks" / "lm_eval"
SAMPLES = 4


def task_file(folder: Path, benchmark: str, **changes: Any) -> str:
    """A task that includes the shipped one, as a user would change its repeats."""
    name = f"quick_{benchmark}"
    text = f"include: {TASKS}/klear_{benchmark}.yaml\ntask: {name}\n"
    text += "".join(f"{key}: {json.dumps(value)}\n" for key, value in changes.items())
    (folder / f"{name}.yaml").write_text(text)
    return name


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Path:
    """A run folder whose samples are right, wrong, cut off and without thinking, by a seeded draw."""
    folder, rng = tmp_path_factory.mktemp("run"), random.Random(3)
    for benchmark in ("aime24", "hmmt25"):
        with SampleStore(folder / "generations" / benchmark / "made.jsonl") as store:
            for problem in load_benchmark(benchmark, shared / "data"):
                for index in range(SAMPLES):
                    answer = problem.answer if rng.random() < 0.5 else "12345678"
                    text = rng.choice([
                        f"<think>\nhm\n</think>\n\nSo \\boxed{{{answer}}}.",
                        f"<think>\nperhaps \\boxed{{{answer}}}, and then",
                        f"The answer is \\boxed{{{answer}}}.",
                    ])  # fmt: skip
                    store.add(Generation(
                        model="made", revision="r", benchmark=benchmark, problem_id=problem.id, sample_index=index, prompt_hash="p",
                        sampling_hash="s", text=text, token_count=9, finish_reason="stop", seed=index, seconds=1,
                    ))  # fmt: skip
    return folder


def lm_eval(model: Any, tasks: list[str], folder: Path) -> dict[str, Any]:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=[str(TASKS), str(folder)], include_defaults=False)
    return dict(simple_evaluate(model=model, tasks=tasks, task_manager=manager, bootstrap_iters=100, log_samples=True))


@pytest.fixture
def local_problems(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLEAR_BENCHMARKS", str(shared / "data"))


@pytest.mark.usefixtures("local_problems")
def test_a_replayed_run_has_the_scores_of_this_projects_own_grades(stored: Path, shared: Path, tmp_path: Path):
    tasks = [task_file(tmp_path, name, repeats=SAMPLES) for name in ("aime24", "hmmt25")]
    found = lm_eval(ReplayLM(stored, "made"), tasks, tmp_path)
    from benchmarks.grading import GraderPool
    from benchmarks.records import read_generations

    with GraderPool() as pool:
        for name, task in zip(("aime24", "hmmt25"), tasks, strict=True):
            problems = {problem.id: problem for problem in load_benchmark(name, shared / "data")}
            rows, _ = read_generations(stored / "generations" / name / "made.jsonl")
            for judge in ("klear", "strict"):
                grades = pool.grade_many([(row.text, problems[row.problem_id].answer) for row in rows], judge, "required")
                correct = dict.fromkeys(problems, 0)
                for row, grade in zip(rows, grades, strict=True):
                    correct[row.problem_id] += grade.correct
                result = found["results"][task]
                score = avg_at_n(list(correct.values()), SAMPLES)
                assert 0 < score < 1
                assert result[f"avg_at_k_{judge},all"] == pytest.approx(score)
                assert result[f"avg_at_k_{judge}_stderr,all"] == pytest.approx(clustered_standard_error(list(correct.values()), SAMPLES))


@pytest.mark.usefixtures("local_problems")
def test_a_replay_with_fewer_samples_than_the_task_asks_for_says_so(stored: Path, tmp_path: Path):
    with pytest.raises(UserError, match="has 4 stored samples"):
        lm_eval(ReplayLM(stored, "made"), [task_file(tmp_path, "aime24", repeats=5)], tmp_path)
    with pytest.raises(UserError, match="nothing is stored"):
        lm_eval(ReplayLM(stored, "another"), [task_file(tmp_path, "aime24", repeats=2)], tmp_path)


def test_stock_lm_eval_runs_the_tasks_offline_and_its_log_imports_with_the_same_score(shared: Path, tmp_path: Path):
    tokenizer = train_tokenizer([(shared / "data" / "aime24.qs.jsonl").read_text()], 400)
    config = ModelConfig(hidden_size=32, layers=1, heads=2, kv_heads=1, head_dim=16, intermediate_size=64, vocab_size=400,
                         max_position=1024, initializer_range=0.2)  # fmt: skip
    model = tmp_path / "tiny"
    tokenizer.save_pretrained(model)
    new_model(config, tokenizer, 1).save_pretrained(model)
    short = {"generation_kwargs": {"until": [], "do_sample": True, "temperature": 0.6, "top_p": 0.95, "max_gen_toks": 12}}
    tasks = ",".join(task_file(tmp_path, name, repeats=2, **short) for name in ("aime24", "hmmt25"))
    command = [
        sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32", "--tasks", tasks,
        "--include_path", str(tmp_path), "--apply_chat_template", "--batch_size", "16", "--device", "cpu", "--log_samples",
        "--output_path", str(tmp_path / "out"), "--metadata", json.dumps({"benchmark_path": str(shared / "data"), "thinking": "auto"}),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=540, cwd=tmp_path, env=environment(HF_HOME=str(tmp_path / "hf")))
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = (tmp_path / "out").rglob("results_*.json")
    reported = json.loads(results.read_text())["results"]
    for name in ("aime24", "hmmt25"):
        (log,) = (tmp_path / "out").rglob(f"samples_quick_{name}_*.jsonl")
        run = tmp_path / f"import-{name}"
        outcome = inside("--stage", "import", "--traces.paths", log, "--traces.model", "tiny", "--run-dir", run)
        assert outcome.code == 0, outcome.err
        grades = list(read_grades(run / "grades" / name / "tiny.parquet"))
        for judge in ("klear", "strict"):
            mine = [grade for grade in grades if grade.grader == judge]
            assert len(mine) == 60
            assert sum(grade.correct for grade in mine) / 60 == pytest.approx(reported[f"quick_{name}"][f"avg_at_k_{judge},all"])


def test_the_task_files_are_listed_by_stock_lm_eval_and_ask_for_64_samples():
    from lm_eval.tasks import TaskManager

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    assert {"klear_aime24", "klear_aime25", "klear_hmmt25"} <= set(manager.all_tasks)
    template = (TASKS / "_klear_template").read_text()
    assert "repeats: 64" in template and "until: []" in template


@pytest.mark.parametrize("other", [{"revision": "r2"}, {"prompt_hash": "p2"}, {"sampling_hash": "s2"}])
def test_a_replay_never_mixes_checkpoints_prompts_or_protocols(tmp_path: Path, other: dict[str, str]):
    from types import SimpleNamespace

    base = {"model": "m", "revision": "r", "benchmark": "aime24", "problem_id": "q", "prompt_hash": "p", "sampling_hash": "s"}
    with SampleStore(tmp_path / "generations" / "aime24" / "m.jsonl") as store:
        for changes in ({}, other):
            for index in range(2):
                fields = {**base, **changes}
                rest: dict[str, Any] = {"token_count": 1, "finish_reason": "stop", "seed": 0, "seconds": 0}
                store.add(Generation(**fields, **rest, sample_index=index, text=f"{changes}{index}"))
    request: Any = SimpleNamespace(doc={"benchmark": "aime24", "id": "q"})
    with pytest.raises(UserError, match=r"says which"):
        ReplayLM(tmp_path, "m").generate_until([request, request])
    chosen = ReplayLM(tmp_path, "m", sampling_hash="s", revision="r", prompt_hashes=["p"])
    assert chosen.generate_until([request, request]) == ["{}0", "{}1"]
