"""Evaluation: which samples there must be, and their grades by every judge; `klear_repro.parallel` has them made.

Generation and grading are apart: a stored sample can be judged again at any time.  A sample's key
names everything that may change its text, so samples of another protocol or revision never mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from benchmarks import load_benchmark
from benchmarks.protocols import Prompt, Protocol, Rope
from benchmarks.records import Generation, Problem, SampleKey, digest, write_grades
from klear_repro.engines.base import Engine
from klear_repro.engines.chat import ChatTokenizer
from klear_repro.engines.chat_format import OPEN, ChatFormat
from klear_repro.errors import UserError
from klear_repro.files import write_atomic
from klear_repro.judging import Judges
from klear_repro.names import STAND_INS, named_protocol, resolved
from klear_repro.progress import say
from klear_repro.sections import EvalConfig
from klear_repro.store import SampleStore
from klear_repro.work import SampleSet


@dataclass(frozen=True)
class Task:
    """One benchmark under one protocol, which is the one for this benchmark (`Protocol.for_benchmark`)."""

    benchmark: str
    problems: list[Problem]
    protocol: Protocol

    @property
    def by_id(self) -> dict[str, Problem]:
        """The problems by their ids."""
        return {problem.id: problem for problem in self.problems}


def make_task(config: EvalConfig, benchmark: str, data: Path, protocol_name: str = "", *, tests: bool = True) -> Task:
    """Load problems and resolve the protocol: the named one, else the configuration's; without `tests` no sample can be graded.

    Raises:
        UserError: no such benchmark or protocol, or the problems cannot be had.
    """
    path: Path | None = Path(config.benchmark_path) if config.benchmark_path else None
    if benchmark in STAND_INS and path is None:
        path = data
    try:
        protocol = named_protocol(config, benchmark, protocol_name)
        problems = load_benchmark(benchmark, path, config.benchmark_revision or None, tests=tests)
        of_benchmark = resolved(config, protocol.for_benchmark(benchmark, problems[0].kind))
        return Task(benchmark, problems[: config.limit or None], of_benchmark)
    except ValueError as error:
        raise UserError(str(error)) from None


def context(protocol: Protocol) -> tuple[str, Rope | None, int | None]:
    """What an engine is started with for a protocol: another context extension or length needs another engine."""
    return protocol.context, protocol.rope, protocol.max_model_len


def prompt_ids(encoder: Engine | ChatTokenizer, prompt: Prompt, problem: Problem) -> tuple[int, ...]:
    """Token ids of a problem as the model sees it."""
    if not prompt.chat_template:
        return tuple(encoder.tokenizer(prompt.user_message(problem.statement, problem.starter_code)).input_ids)
    template = {} if prompt.enable_thinking is None else {"enable_thinking": prompt.enable_thinking}
    try:
        return encoder.encode_chat(prompt.messages(problem.statement, problem.starter_code), **template)
    except (ValueError, TemplateError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"eval.model: its chat template cannot be used ({reason[:160]}); --eval.prompt lm-eval needs none") from None


def sample_keys(task: Task, model: str, revision: str, encoder: Engine | ChatTokenizer, seed: int) -> dict[SampleKey, tuple[int, ...]]:
    """Key → prompt token ids of every sample of a task; samples of the same index of all problems stand together."""
    sampling_hash = task.protocol.sampling_hash(seed)
    prompts = []
    for problem in task.problems:
        ids = prompt_ids(encoder, task.protocol.prompt, problem)
        prompts.append((problem.id, ids, digest(list(ids))))
    return {
        SampleKey(
            model=model, revision=revision, benchmark=task.benchmark, problem_id=identity, sample_index=index,
            prompt_hash=prompt_hash, sampling_hash=sampling_hash,
        ): ids
        for index in range(task.protocol.samples)
        for identity, ids, prompt_hash in prompts
    }  # fmt: skip


def sample_set(task: Task, model: str, revision: str, run_dir: Path, encoder: Engine | ChatTokenizer, seed: int) -> SampleSet:
    """The samples that one model needs for a task."""
    keys = sample_keys(task, model, revision, encoder, seed)
    opened = ChatFormat(encoder.tokenizer).thinking_before(next(iter(keys.values()))) == OPEN
    return SampleSet(store_path(run_dir, task.benchmark, model), task.protocol, seed, keys, opened)


def identical(rows: Sequence[Generation]) -> int:
    """Samples with the text of an earlier one of the same problem under another seed."""
    seen: dict[tuple[str, str], int] = {}
    return sum(seen.setdefault((row.problem_id, row.text), row.seed) != row.seed for row in rows if row.finish_reason != "error")


def store_path(run_dir: Path, benchmark: str, model: str) -> Path:
    """Where the samples of a model on a benchmark are."""
    return run_dir / "generations" / benchmark / f"{model}.jsonl"


def grade(task: Task, samples: SampleSet, engine: str, run_dir: Path, judges: Judges) -> dict[str, Any]:
    """Grade the samples of one model on one benchmark, all of which are there; returns their entry for the manifest.

    Args:
        engine: the name of the engine that made them.
    """
    keys = list(samples.keys)
    model, revision = keys[0].model, keys[0].revision
    with SampleStore(samples.store) as store:
        rows = store.rows(keys)
    copies = identical(rows)
    if copies and task.protocol.sampling.temperature > 0:
        say(f"eval {model} {task.benchmark}: {copies} of {len(rows)} samples are identical to another one of their problem under a different seed")
    keep_problems(run_dir, task.benchmark, task.problems)
    grades = judges.grade(task.by_id, samples.judged, rows)
    write_grades(run_dir / "grades" / task.benchmark / f"{model}.parquet", grades)
    for grader in dict.fromkeys(grade.grader for grade in grades):
        mine = [grade for grade in grades if grade.grader == grader]
        say(f"eval {model} {task.benchmark} ({grader}): {100 * sum(grade.correct for grade in mine) / len(mine):.1f} % of {len(mine)} samples")
    return {
        "benchmark": task.benchmark,
        "model": model,
        "revision": revision,
        "protocol": task.protocol.model_dump(mode="json"),
        "sampling_hash": keys[0].sampling_hash,
        "engine": engine,
        "settings": sorted({row.settings for row in rows if row.settings}),
        "problems": len(task.problems),
        "samples": len(rows),
        "expected": len(keys),
        "identical": copies,
        "source": sorted({str(problem.info["source"]) for problem in task.problems if "source" in problem.info}),
        "problem_ids": [problem.id for problem in task.problems],
        "groups": groups(task.problems),
    }


def keep_problems(run_dir: Path, benchmark: str, problems: Sequence[Problem]) -> None:
    """Keep statements and answers in the run folder, for whoever reads its samples; tests may be gigabytes and are left out."""
    if benchmark not in STAND_INS:  # the data stage keeps those
        text = "".join(problem.model_copy(update={"tests": ()}).model_dump_json() + "\n" for problem in problems)
        write_atomic(run_dir / "data" / "problems" / f"{benchmark}.jsonl", text)


def groups(problems: Sequence[Problem]) -> dict[str, dict[str, str]]:
    """Problem id → what its scores are grouped by: difficulty, platform, month of the contest; empty where unknown."""
    found = {}
    for problem in problems:
        known = {name: str(problem.info[name]) for name in ("difficulty", "platform") if problem.info.get(name)}
        if date := problem.info.get("contest_date"):
            known["month"] = str(date)[:7]
        if known:
            found[problem.id] = known
    return found
