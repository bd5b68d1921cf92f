"""A run of any size: five benchmarks, four models, long responses whose words are as often as in real text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from run_builder import MANIFEST, PROTOCOL

from benchmarks.records import Grade, Reason, SampleKey, write_grades

BENCHMARKS = ("aime24", "aime25", "hmmt25", "lcb_v5", "lcb_v6")
MODELS = ("base", "sft", "rl-math", "rl-code")
PROBLEMS = 30
TEXT = """
so the we that is of and let this then which equals a sum in problem number \\( x \\) = + - 1 2 3 4 for each since point line value wait
check again but maybe because n k must be even odd prime divisor count ways case compute \\frac{1}{2} therefore \\sqrt{5} circle angle
area length side both first second total remaining difference product modulo means have not
"""
WORDS = TEXT.split()


def pool(characters: int, seed: int = 0) -> str:
    """Text of words drawn by Zipf's law, with sentences and paragraphs."""
    random = np.random.default_rng(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    made = ["".join(letters[i] for i in np.minimum(random.geometric(0.12, size=random.integers(3, 10)) - 1, 25)) for _ in range(3000)]
    words = np.array(WORDS + made, dtype=object)
    chosen = words[np.minimum(random.zipf(1.3, size=characters // 4) - 1, len(words) - 1)]
    ends = random.random(len(chosen))
    marks = np.where(ends < 0.06, ". ", np.where(ends < 0.08, ".\n\n", " "))
    return "".join(word + mark for word, mark in zip(chosen, marks, strict=True))[:characters]


def big_run(path: Path, samples: int, characters: int = 50_000) -> Path:
    """A run folder with `samples` generations in all, a multiple of 600, each of about `characters`."""
    each = samples // (len(BENCHMARKS) * len(MODELS) * PROBLEMS)
    text = pool(20_000_000)
    random = np.random.default_rng(1)
    manifest = json.loads(json.dumps(MANIFEST))
    for benchmark in BENCHMARKS:
        for place, model in enumerate(MODELS):
            file = path / "generations" / benchmark / f"{model}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            grades = []
            with open(file, "w", encoding="utf-8") as lines:
                for number in range(PROBLEMS * each):
                    problem, index = divmod(number, each)
                    start = int(random.integers(0, len(text) - characters))
                    body = f"<think>{text[start : start + characters]}</think>The answer is \\boxed{{{number}}}."
                    if number == 77:
                        body += f" xyzzy-{benchmark}-{model}"
                    tokens = int(characters // 4 + random.integers(-2000, 2000))
                    key = {"model": model, "revision": "r", "benchmark": benchmark, "problem_id": f"p{problem}", "sample_index": index,
                           "prompt_hash": f"h{problem}", "sampling_hash": "s"}  # fmt: skip
                    row = key | {"text": body, "token_count": tokens, "finish_reason": "stop", "seed": number, "seconds": 9.0}
                    lines.write(json.dumps(row) + "\n")
                    right = bool(random.random() < (problem + 3 * place) / 40)
                    reason: Reason = "correct" if right else "wrong"
                    for grader in ("strict", "klear"):
                        grades.append(Grade(
                            correct=right, extracted=str(number), reason=reason, grader=grader, score=float(right), key=SampleKey(**key),
                            finish_reason="stop", token_count=tokens,
                        ))  # fmt: skip
            write_grades(path / "grades" / benchmark / f"{model}.parquet", grades)
            manifest["evaluations"].append({
                "benchmark": benchmark, "model": model, "revision": "r", "protocol": PROTOCOL, "sampling_hash": "s", "engine": "hf",
                "problems": PROBLEMS, "samples": each, "expected": PROBLEMS * each, "problem_ids": [f"p{i}" for i in range(PROBLEMS)],
            })  # fmt: skip
    (path / "manifest.json").write_text(json.dumps(manifest))
    (path / "config.toml").write_text('profile = "smoke"\n')
    return path
