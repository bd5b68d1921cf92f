"""The data stage: problems and teacher responses of the smoke profile, split so that no statement is on two sides."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.records import CodeTest, Problem
from klear_repro.data.synthetic import Task, code_task, distinct, math_task
from klear_repro.data.words import word_task
from klear_repro.errors import UserError
from klear_repro.files import write_atomic, write_json
from klear_repro.sections import DataConfig
from klear_repro.seeds import derive_seed

MATH_SOURCE, CODE_SOURCE = "math_longcot_math_verify", "coder1_longcot"


def make_data(config: DataConfig, seed: int, folder: Path) -> dict[str, Any]:
    """Write `sft.parquet`, `rl-math.parquet`, `rl-code.parquet`, the held-out problems and `funnel.json`.

    The RL files have the columns of the released data (data_source, prompt, ability, reward_model).
    Returns the funnel: what was made, and how much of it.

    Raises:
        UserError: more distinct problems were asked for than there are.
    """
    rng = random.Random(derive_seed(seed, "data"))
    teacher = random.Random(derive_seed(seed, "teacher"))
    taken: set[str] = set()
    words = config.source == "words"
    maths = distinct(lambda: word_task(rng) if words else math_task(rng, steps=config.steps, digits=config.digits), taken)
    programs = distinct(lambda: code_task(rng, tests=config.tests), taken)
    try:
        heldout = {"mini-words" if words else "mini-aime": list(islice(maths, config.heldout_math))}
        rl = {"rl-math": list(islice(maths, config.rl_math_problems))}
        if not words:
            heldout["mini-lcb"] = list(islice(programs, config.heldout_code))
            rl["rl-code"] = list(islice(programs, config.rl_code_problems))
        sft = list(islice(maths, config.sft_math_problems)) * config.sft_math_answers
        if not words:
            sft += list(islice(programs, config.sft_code_problems)) * config.sft_code_answers
    except ValueError as error:
        raise UserError(f"data: {error}") from None
    teacher.shuffle(sft)
    rows = [_sft_row(task, config, teacher) for task in sft]
    folder.mkdir(parents=True, exist_ok=True)
    _write_parquet(folder / "sft.parquet", rows)
    for name, tasks in rl.items():
        _write_parquet(folder / f"{name}.parquet", [_rl_row(task) for task in tasks])
    for name, tasks in heldout.items():
        problems = [problem_of(task, name, f"{name}-{index:03}") for index, task in enumerate(tasks)]
        write_atomic(folder / f"{name}.jsonl", "".join(problem.model_dump_json() + "\n" for problem in problems))
    funnel = {
        "source": config.source,
        "sft": {"samples": len(rows), "right": sum(row["right"] for row in rows), "families": dict(Counter(row["family"] for row in rows))},
        **{name: {"problems": len(tasks), "families": dict(Counter(task.family for task in tasks))} for name, tasks in (rl | heldout).items()},
    }
    write_json(folder / "funnel.json", funnel)
    return funnel


def problem_of(task: Task, benchmark: str, identity: str) -> Problem:
    """A task as a problem of a benchmark."""
    return Problem(
        benchmark=benchmark, id=identity, kind="math" if task.kind == "math" else "code", statement=task.statement,
        answer=task.answer, tests=tuple(CodeTest(**test) for test in task.tests), starter_code=task.starter_code,
        info={"family": task.family, **task.info},
    )  # fmt: skip


def _sft_row(task: Task, config: DataConfig, teacher: random.Random) -> dict[str, Any]:
    response = task.teach(teacher, config.math_error_rate if task.kind == "math" else config.code_error_rate)
    return {
        "prompt": [{"role": "user", "content": task.statement}],
        "response": response,
        "data_source": MATH_SOURCE if task.kind == "math" else CODE_SOURCE,
        "family": task.family,
        "right": response == task.teach(random.Random(0), 0.0),
    }


def _rl_row(task: Task) -> dict[str, Any]:
    code = task.kind == "code"
    truth = json.dumps(task.tests) if code else task.answer
    return {
        "data_source": CODE_SOURCE if code else MATH_SOURCE,
        "prompt": [{"role": "user", "content": task.statement}],
        "ability": task.kind,
        "reward_model": {"ground_truth": truth, "style": "rule"},
        "family": task.family,
    }


def problem_row(problem: Problem) -> dict[str, Any]:
    """A held-out problem in the format of the RL data."""
    code = problem.kind == "code"
    tests = [test.model_dump(exclude_none=True) for test in problem.tests]
    return {
        "data_source": CODE_SOURCE if code else MATH_SOURCE,
        "prompt": [{"role": "user", "content": problem.statement}],
        "ability": problem.kind,
        "reward_model": {"ground_truth": json.dumps(tests) if code else problem.answer, "style": "rule"},
    }


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    temporary = path.with_name(path.name + ".tmp")
    pq.write_table(pa.Table.from_pylist(rows), temporary)
    temporary.replace(path)


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """The rows of one file of this stage."""
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()
