"""Run folders made by hand, following docs/run-folder.md and `benchmarks.records`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.records import FinishReason, Generation, Grade, Problem, Reason, SampleKey, write_grades

PROTOCOL: dict[str, Any] = {
    "name": "smoke-math",
    "description": "",
    "prompt": {"user": "{statement}"},
    "sampling": {"temperature": 0.6, "top_p": 0.95},
    "max_new_tokens": 160,
    "samples": 4,
    "judges": ["strict", "klear"],
    "thinking": "required",
}
MANIFEST: dict[str, Any] = {
    "schema": 1,
    "name": "hand-made",
    "created": "2026-01-02T03:04:05Z",
    "updated": "2026-01-02T03:09:05Z",
    "profile": "smoke",
    "preset": {
        "name": "paper",
        "differences": [{"field": "advantage", "paper": "population std", "release": "unbiased std"}],
    },
    "stand_in": True,
    "model_note": "",
    "versions": {"torch": "2.13.0"},
    "hardware": {
        "cpu": "test",
        "cores": 2,
        "memory_gb": 4,
        "gpu": None,
        "device": "cpu",
        "dtype": "float32",
        "threads": 2,
    },
    "git": {"revision": "abc", "dirty": False},
    "seeds": {"run": 0},
    "data_hashes": {"sft": "00"},
    "stages": {"sft": {"fingerprint": "f", "status": "done", "started": "", "finished": "", "seconds": 12.5}},
    "evaluations": [],
    "notes": [],
}


@dataclass
class RunBuilder:
    """Collects the parts of a run and writes them."""

    path: Path
    manifest: dict[str, Any] = field(default_factory=lambda: json.loads(json.dumps(MANIFEST)))

    def measure(
        self,
        benchmark: str,
        model: str,
        right: Sequence[int],
        samples: int = 4,
        *,
        code: bool = False,
        text: Callable[[int, int], str] = lambda problem, index: (
            f"<think>{problem} {index}</think>answer {index}"
        ),
        protocol: dict[str, Any] | None = None,
        graders: Sequence[str] = ("strict", "klear"),
        describe: bool = True,
        disagree: frozenset[tuple[int, int]] | set[tuple[int, int]] = frozenset(),
        sampling_hash: str = "sh",
        truncated: int = 0,
        revision: str = "r1",
        prompt_hash: str = "ph",
        file: str = "",
    ) -> None:
        """`right[i]` of `samples` answers to problem i are right; generations, grades and the manifest's entry.

        The first `truncated` wrong samples ended at the length limit; all graders but the first say the opposite of the
        (problem, sample) in `disagree`.  `file`: of another name than the model's, where that is taken.
        """
        generations, grades = [], []
        left = truncated
        for problem, count in enumerate(right):
            for index in range(samples):
                key = SampleKey(
                    model=model,
                    revision=revision,
                    benchmark=benchmark,
                    problem_id=f"p{problem}",
                    sample_index=index,
                    prompt_hash=prompt_hash,
                    sampling_hash=sampling_hash,
                )
                correct = index < count
                body = text(problem, index)
                finish: FinishReason = "length" if not correct and left > 0 else "stop"
                left -= finish == "length"
                generations.append(
                    Generation(
                        **key.model_dump(),
                        text=body,
                        token_count=20 + 3 * index + problem,
                        seed=100 * problem + index,
                        finish_reason=finish,
                        seconds=0.1,
                    )
                )
                for place, grader in enumerate(graders):
                    said = correct != (place > 0 and (problem, index) in disagree)
                    reason: Reason = "correct" if said else "wrong"
                    grades.append(
                        Grade(
                            correct=said,
                            extracted=None if code else str(index),
                            reason=reason,
                            grader=grader,
                            score=float(said),
                            verdict=("AC" if said else "WA") if code else None,
                            tests=("0:AC 1:AC" if said else "0:AC 1:WA") if code else "",
                            failure="printed '<b>1</b>', expected '2'" if code and not said else "",
                            key=key,
                            finish_reason=finish,
                            token_count=20 + 3 * index + problem,
                        )
                    )
        place = self.path / "generations" / benchmark / f"{file or model}.jsonl"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("".join(row.model_dump_json() + "\n" for row in generations), encoding="utf-8")
        write_grades(self.path / "grades" / benchmark / f"{file or model}.parquet", grades)
        if describe:
            self.manifest["evaluations"].append(
                {
                    "benchmark": benchmark,
                    "model": model,
                    "revision": revision,
                    "protocol": protocol or PROTOCOL,
                    "sampling_hash": sampling_hash,
                    "engine": "hf",
                    "problems": len(right),
                    "samples": samples,
                    "expected": len(right) * samples,
                    "problem_ids": [f"p{i}" for i in range(len(right))],
                }
            )

    def metrics(self, name: str, rows: Sequence[dict[str, Any]]) -> Path:
        """A metrics file from rows; `step` is added."""
        path = self.path / "metrics" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps({"step": step, **row}) + "\n" for step, row in enumerate(rows)))
        return path

    def problems(self, benchmark: str, problems: Sequence[Problem]) -> None:
        """The held-out problems that the run made itself."""
        path = self.path / "data" / f"{benchmark}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(problem.model_dump_json() + "\n" for problem in problems), encoding="utf-8")

    def write(self) -> Path:
        """Write manifest and configuration; the other parts are on disk already."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "manifest.json").write_text(json.dumps(self.manifest))
        (self.path / "config.toml").write_text('profile = "smoke"\n')
        return self.path


def contents_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its name there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rl_rows(steps: int, clip: float = 0.002, seconds: float = 1.0) -> list[dict[str, Any]]:
    """Metrics of an RL run that learns; the first step kept no group."""
    rows: list[dict[str, Any]] = []
    for step in range(steps):
        empty = step == 0
        rows.append(
            {
                "loss_policy": None if empty else -0.01,
                "reward_mean": -0.5 + step / steps,
                "accuracy": 0.2 + 0.5 * step / steps,
                "clip_low": None if empty else clip,
                "clip_high": None if empty else clip * (1 + step % 3),
                "entropy": 1.0 - 0.5 * step / steps,
                "grad_norm": None if empty else 0.5 + 0.1 * (step % 4),
                "tokens": 1000,
                "skipped_updates": 0,
                "verifier_failures": 0,
                "seconds": seconds,
            }
        )
    return rows


def complete(builder: RunBuilder) -> RunBuilder:
    """A complete stand-in run: three checkpoints, four controls, two benchmarks."""
    aime = {"sft": 1, "rl-math": 3, "rl-math-clip": 3, "rl-math-sft": 1}
    for model, level in aime.items():
        builder.measure(
            "mini-aime", model, [min(4, max(0, level + problem % 3 - 1)) for problem in range(12)]
        )
    lcb = {"rl-math": 0, "rl-code": 2, "rl-code-clip": 2, "rl-code-sft": 1}
    for model, level in lcb.items():
        builder.measure("mini-lcb", model, [min(4, level + problem % 3) for problem in range(9)], code=True)
    builder.metrics(
        "sft",
        [{"loss": 2 / (1 + step), "grad_norm": 1.0, "tokens": 500, "seconds": 0.5} for step in range(20)],
    )
    for name in ("rl-math-sft", "rl-code-sft"):
        builder.metrics(
            name, [{"loss": 0.5, "grad_norm": 1.0, "tokens": 500, "seconds": 1.0} for _ in range(12)]
        )
    for name in ("rl-math", "rl-math-clip", "rl-code", "rl-code-clip"):
        builder.metrics(name, rl_rows(12))
    builder.problems(
        "mini-aime",
        [
            Problem(
                benchmark="mini-aime",
                id=f"p{i}",
                kind="math",
                statement=f"What is {i} + {i}?",
                answer=str(2 * i),
            )
            for i in range(12)
        ],
    )
    return builder
