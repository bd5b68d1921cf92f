"""Evaluation: generate what is missing, store every sample at once, grade all of them with every judge.

Generation and grading are apart: a stored sample can be judged again at any time.  A sample's key
names everything that may change its text, so samples of another protocol or revision never mix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from pydantic import ValidationError

from benchmarks import load_benchmark
from benchmarks.protocols import Prompt, Protocol, load_protocol
from benchmarks.records import Generation, Problem, SampleKey, digest, write_grades
from klear_repro.canary import run_canary
from klear_repro.config import EvalConfig
from klear_repro.engines.base import Completion, Engine, Request, Sampling
from klear_repro.errors import UserError
from klear_repro.files import write_atomic
from klear_repro.judging import Judges
from klear_repro.progress import Progress, say
from klear_repro.seeds import derive_seed
from klear_repro.store import SampleStore

DEFAULT_PROTOCOL = "klear-paper-32k"
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
"""Sampling parameters that the configuration can set in place of the protocol's."""
STAND_INS = {"mini-aime": "smoke-math", "mini-lcb": "smoke-code", "mini-words": "smoke-words"}


@dataclass(frozen=True)
class Task:
    """One benchmark under one protocol, which is the one for this benchmark (`Protocol.for_benchmark`)."""

    benchmark: str
    problems: list[Problem]
    protocol: Protocol
    canary: int = 0
    """Samples that must come to a good end before the rest is queued (`klear_repro.canary`)."""

    @property
    def by_id(self) -> dict[str, Problem]:
        """The problems by their ids."""
        return {problem.id: problem for problem in self.problems}


def make_task(config: EvalConfig, benchmark: str, data: Path, protocol_name: str = "") -> Task:
    """Load problems and resolve the protocol: the named one, else the configuration's.

    Raises:
        UserError: no such benchmark or protocol, or the problems cannot be had.
    """
    path: Path | None = Path(config.benchmark_path) if config.benchmark_path else None
    if benchmark in STAND_INS and path is None:
        path = data
    try:
        protocol = named_protocol(config, benchmark, protocol_name)
        problems = load_benchmark(benchmark, path, config.benchmark_revision or None)
        of_benchmark = resolved(config, protocol.for_benchmark(benchmark, problems[0].kind))
        return Task(benchmark, problems[: config.limit or None], of_benchmark, config.canary)
    except ValueError as error:
        raise UserError(str(error)) from None


def named_protocol(config: EvalConfig, benchmark: str, name: str = "") -> Protocol:
    """The protocol of this name, else the configuration's, else the benchmark's; as its file says.

    Raises:
        BenchmarkError: there is none.
    """
    return load_protocol(name or config.protocol or STAND_INS.get(benchmark, DEFAULT_PROTOCOL))


def resolved(config: EvalConfig, protocol: Protocol) -> Protocol:
    """The protocol with what the configuration replaces in it."""
    overrides: dict[str, Any] = {"samples": config.samples, "max_new_tokens": config.max_new_tokens, "max_model_len": config.max_model_len}
    overrides = {name: value for name, value in overrides.items() if value}
    for name in SAMPLING:
        value = getattr(config, name)
        if value is not None:
            overrides[f"sampling.{name}"] = max(value, 0)  # vLLM's −1 of top_k is off, too
    if "max_new_tokens" in overrides and "max_model_len" not in overrides and protocol.rope is None:
        overrides["max_model_len"] = None  # the protocol's length was made for its own budget
    if config.prompt:
        try:
            overrides["prompt"] = Prompt.model_validate(config.prompt).model_dump()
        except ValidationError as error:
            raise UserError(f"eval.prompt={config.prompt!r}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    return protocol.resolve(overrides)


def prompt_ids(engine: Engine, prompt: Prompt, problem: Problem) -> tuple[int, ...]:
    """Token ids of a problem as the model sees it."""
    if not prompt.chat_template:
        return tuple(engine.tokenizer(prompt.user_message(problem.statement, problem.starter_code)).input_ids)
    template = {} if prompt.enable_thinking is None else {"enable_thinking": prompt.enable_thinking}
    try:
        return engine.encode_chat(prompt.messages(problem.statement, problem.starter_code), **template)
    except (ValueError, TemplateError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"eval.model: its chat template cannot be used ({reason[:160]}); --eval.prompt lm-eval needs none") from None


def sample_keys(task: Task, model: str, revision: str, engine: Engine, seed: int) -> dict[SampleKey, tuple[int, ...]]:
    """Key → prompt token ids of every sample of a task; samples of the same index of all problems stand together."""
    sampling_hash = task.protocol.sampling_hash(seed)
    prompts = []
    for problem in task.problems:
        ids = prompt_ids(engine, task.protocol.prompt, problem)
        prompts.append((problem.id, ids, digest(list(ids))))
    return {
        SampleKey(
            model=model, revision=revision, benchmark=task.benchmark, problem_id=identity, sample_index=index,
            prompt_hash=prompt_hash, sampling_hash=sampling_hash,
        ): ids
        for index in range(task.protocol.samples)
        for identity, ids, prompt_hash in prompts
    }  # fmt: skip


def in_shard(keys: dict[SampleKey, tuple[int, ...]], shard: str) -> dict[SampleKey, tuple[int, ...]]:
    """Every N-th key from the I-th of them, for shard `I/N`; all of them without a shard."""
    if not shard:
        return keys
    index, _, count = shard.partition("/")
    return {key: ids for place, (key, ids) in enumerate(keys.items()) if place % int(count) == int(index) - 1}


def generate(engine: Engine, task: Task, keys: dict[SampleKey, tuple[int, ...]], store: SampleStore, seed: int) -> int:
    """Generate and store the missing samples; returns how many were missing."""
    waiting = len(store.missing(keys))
    if waiting:
        make = partial(_make, engine, task, keys, store, seed)
        run_canary(make, lambda: {row.key: row for row in store}, task.protocol, list(keys), task.canary, getattr(engine, "slots", None))
        make(store.missing(keys))
    return waiting


def _make(engine: Engine, task: Task, keys: dict[SampleKey, tuple[int, ...]], store: SampleStore, seed: int, missing: Sequence[SampleKey]) -> None:
    """Generate and store these samples."""
    if not missing:
        return
    protocol = task.protocol
    sampling = Sampling(
        protocol.sampling.temperature, protocol.sampling.top_p, protocol.sampling.top_k, protocol.sampling.min_p,
        protocol.sampling.repetition_penalty, protocol.max_new_tokens,
    )  # fmt: skip
    settings = {"protocol": protocol.model_dump(mode="json"), "engine": engine.settings(sampling), "run_seed": seed}
    written = ""
    seeds = {key: derive_seed(seed, "eval", key.benchmark, key.problem_id, key.sample_index) for key in missing}
    requests = [Request(key, keys[key], seeds[key]) for key in missing]
    label, there = f"eval {missing[0].model} {task.benchmark}", len(keys) - len(store.missing(keys))
    with Progress(label, len(keys), "sample", there, tokens_each=mean_tokens(store, keys), tokens_most=protocol.max_new_tokens) as progress:
        for completion in engine.generate(requests, sampling, progress.tokens):
            written = written or store.keep_settings(settings)
            store.add(_row(completion, keys, seeds, written))
            progress.update(tokens=completion.token_count)


def mean_tokens(store: SampleStore, keys: Mapping[SampleKey, object]) -> float:
    """New tokens of a stored sample of these keys, on average; 0: there is none."""
    counts = [row.token_count for row in store if row.key in keys]
    return sum(counts) / len(counts) if counts else 0.0


def _row(completion: Completion, keys: dict[SampleKey, tuple[int, ...]], seeds: dict[SampleKey, int], settings: str) -> Generation:
    key = completion.tag
    assert isinstance(key, SampleKey)
    return Generation(
        **key.model_dump(), text=completion.text, token_count=completion.token_count, finish_reason=completion.finish_reason,
        seed=seeds[key], seconds=round(completion.seconds, 6), prompt_tokens=len(keys[key]),
        settings=settings,
    )  # fmt: skip


def identical(rows: Sequence[Generation]) -> int:
    """Samples with the text of an earlier one of the same problem under another seed."""
    seen: dict[tuple[str, str], int] = {}
    return sum(seen.setdefault((row.problem_id, row.text), row.seed) != row.seed for row in rows if row.finish_reason != "error")


def generate_shard(engine: Engine, task: Task, model: str, revision: str, run_dir: Path, seed: int, shard: str) -> None:
    """This shard's samples of one model on one benchmark; nothing is graded."""
    keys = sample_keys(task, model, revision, engine, seed)
    with SampleStore(store_path(run_dir, task.benchmark, model)) as store:
        made = generate(engine, task, in_shard(keys, shard), store, seed)
        left = len(store.missing(keys))
    there = f"{len(keys) - left} of {len(keys)} samples of all shards are there"
    say(f"eval {model} {task.benchmark}: shard {shard} made {made}; {there}" + ("" if left else "; grade them with the same command without --eval.shard"))


def store_path(run_dir: Path, benchmark: str, model: str) -> Path:
    """Where the samples of a model on a benchmark are."""
    return run_dir / "generations" / benchmark / f"{model}.jsonl"


def evaluate(
    engine: Engine, task: Task, model: str, revision: str, run_dir: Path, seed: int, judges: Judges
) -> dict[str, Any]:
    """One model on one benchmark, from prompts to the grades on disk; returns its entry for the manifest."""
    keys = sample_keys(task, model, revision, engine, seed)
    with SampleStore(store_path(run_dir, task.benchmark, model)) as store:
        made = generate(engine, task, keys, store, seed)
        rows = store.rows(list(keys))
    if not made:
        say(f"eval {model} {task.benchmark}: all {len(keys)} samples are there, none generated")
    copies = identical(rows)
    if copies and task.protocol.sampling.temperature > 0:
        say(f"eval {model} {task.benchmark}: {copies} of {len(rows)} samples are identical to another one of their problem under a different seed")
    keep_problems(run_dir, task.benchmark, task.problems)
    grades = judges.grade(task.by_id, task.protocol, rows)
    write_grades(run_dir / "grades" / task.benchmark / f"{model}.parquet", grades)
    for grader in dict.fromkeys(grade.grader for grade in grades):
        mine = [grade for grade in grades if grade.grader == grader]
        say(f"eval {model} {task.benchmark} ({grader}): {100 * sum(grade.correct for grade in mine) / len(mine):.1f} % of {len(mine)} samples")
    return {
        "benchmark": task.benchmark,
        "model": model,
        "revision": revision,
        "protocol": task.protocol.model_dump(mode="json"),
        "sampling_hash": task.protocol.sampling_hash(seed),
        "engine": engine.name,
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
