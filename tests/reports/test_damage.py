"""Damaged and odd runs: a report that says so, never an exception, never a verdict that the numbers do not carry."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_builder import RunBuilder, complete

from benchmarks.protocols import load_protocol
from reports.against_published import comparisons
from reports.load import load_run
from reports.render import write_report

RELEASE = load_protocol("klear-release-64k").model_dump(mode="json")
REPRODUCED = [64] * 22 + [62, 60, 55, 50, 41, 30, 20, 12]
"""1,738 of 1,920: 90.5 points."""


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that reproduces AIME 2024's 90.5."""
    builder = RunBuilder(tmp_path_factory.mktemp("reproduced") / "run")
    builder.manifest["stand_in"] = False
    builder.measure("aime24", "Klear-Reasoner-8B", REPRODUCED, 64, protocol=RELEASE, graders=("klear",))
    return builder.write()


def labels(path: Path) -> list[str]:
    return [one.verdict.label for one in comparisons(load_run(path))]


def test_the_whole_run_is_reproduced(reproduced: Path) -> None:
    assert labels(reproduced) == ["reproduced"]


def _cut(path: Path, at: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * at)])


def _without_lines(path: Path, random_: random.Random) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[random_.randrange(len(lines))]
    path.write_bytes(b"".join(lines))


def _changed(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((root / "manifest.json").read_text())
    change(manifest)
    (root / "manifest.json").write_text(json.dumps(manifest))


GENERATIONS, GRADES = "generations/aime24/Klear-Reasoner-8B.jsonl", "grades/aime24/Klear-Reasoner-8B.parquet"
DAMAGE: dict[str, Callable[[Path, random.Random], object]] = {
    "generations torn": lambda root, r: _cut(root / GENERATIONS, r.random()),
    "a generation lost": lambda root, r: _without_lines(root / GENERATIONS, r),
    "grades torn": lambda root, r: _cut(root / GRADES, r.random()),
    "no grades": lambda root, r: shutil.rmtree(root / "grades"),
    "no generations": lambda root, r: shutil.rmtree(root / "generations"),
    "manifest torn": lambda root, r: _cut(root / "manifest.json", r.random()),
    "no manifest": lambda root, r: (root / "manifest.json").unlink(),
    "no evaluations": lambda root, r: _changed(root, lambda m: m.update(evaluations=[])),
    "no protocol": lambda root, r: _changed(root, lambda m: m["evaluations"][0].pop("protocol")),
    "another budget": lambda root, r: _changed(root, lambda m: m["evaluations"][0]["protocol"].update(max_new_tokens=32768)),
    "problems left out": lambda root, r: _changed(root, lambda m: m["evaluations"][0].update(expected=1984)),
    "stand-in unknown": lambda root, r: _changed(root, lambda m: m.pop("stand_in")),
    "other weights": lambda root, r: _changed(root, lambda m: m.update(model_note="dequantised")),
    "another sampling": lambda root, r: _changed(root, lambda m: m["evaluations"][0].update(sampling_hash="other")),
    "manifest of nonsense": lambda root, r: _changed(root, lambda m: m.update(evaluations=7, stages=[], preset=3, versions="x")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_run_is_never_reproduced_and_always_has_a_report(reproduced: Path, tmp_path: Path, name: str) -> None:
    root = tmp_path / "run"
    shutil.copytree(reproduced, root)
    DAMAGE[name](root, random.Random(name))
    page = write_report(root)
    assert set(labels(root)) <= {"inconclusive"}, name
    text = page.with_name("report.md").read_text()
    assert "| reproduced |" not in text.replace("| inconclusive | reproduced |", "")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_random_damage_never_ends_in_an_exception(tmp_path: Path, seed: int) -> None:
    """Bytes of any file of a complete run changed, cut, doubled or removed."""
    chance = random.Random(seed)
    builder = complete(RunBuilder(tmp_path / "run"))
    (builder.path / "evaluations").mkdir(parents=True)
    rows = ({"step": step, "accuracy": 0.1 * step, "accuracy_se": 0.05} for step in range(3))
    (builder.path / "evaluations" / "rl-math.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (builder.path / "data" / "funnel.json").write_text(json.dumps({"sft": {"samples": 5, "right": 3}, "source": "words"}))
    root = builder.write()
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for path in chance.sample(files, chance.randint(1, 4)):
        content = bytearray(path.read_bytes())
        for _ in range(chance.randint(1, 30)):
            if content:
                content[chance.randrange(len(content))] = chance.choice(b'\x00\xff"{}[],:\n019eENa-')
        action = chance.randrange(4)
        if action == 0:
            path.unlink()
        else:
            path.write_bytes([bytes(content), bytes(content)[: chance.randrange(len(content) + 1)], bytes(content) * 2][action - 1])
    if any((root / part).exists() for part in ("manifest.json", "config.toml", "metrics", "generations", "grades")):
        assert write_report(root).is_file()


def test_two_protocols_in_one_run_are_two_lines_and_are_compared_as_protocols(tmp_path: Path) -> None:
    builder = RunBuilder(tmp_path / "run")
    builder.manifest["stand_in"] = False
    builder.measure("aime24", "Klear-Reasoner-8B", REPRODUCED, 64, protocol=RELEASE, graders=("klear",))
    root = builder.write()
    first = {path: path.read_bytes() for path in (root / GENERATIONS, root / GRADES)}
    lower = [max(0, count - 12) for count in REPRODUCED]
    other = RELEASE | {"name": "mine", "sampling": RELEASE["sampling"] | {"top_k": 0}}
    builder.measure("aime24", "Klear-Reasoner-8B", lower, 64, protocol=other, graders=("klear",), sampling_hash="s2")
    (root / GENERATIONS).write_bytes(first[root / GENERATIONS] + (root / GENERATIONS).read_bytes())
    _joined(first[root / GRADES], root / GRADES)
    markdown = write_report(builder.write()).with_name("report.md").read_text()
    assert "| Klear-Reasoner-8B | klear-release-64k |" in markdown and "| Klear-Reasoner-8B | mine |" in markdown
    assert "The protocols differ in sampling.top\\_k 0 instead of 20." in markdown
    found = {one.measurement.sampling_hash: one.verdict for one in comparisons(load_run(root))}
    assert (found["sh"].label, found["s2"].label, found["s2"].unblocked_label) == ("reproduced", "inconclusive", "not reproduced")


def _joined(first: bytes, path: Path) -> None:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [pq.read_table(io.BytesIO(first)), pq.read_table(path)]
    pq.write_table(pa.concat_tables(tables), path)


def test_heavy_truncation_blocks_and_shows_the_verdict_that_it_hides(tmp_path: Path) -> None:
    builder = RunBuilder(tmp_path / "run")
    builder.manifest["stand_in"] = False
    builder.measure("aime24", "Klear-Reasoner-8B", [64] * 20 + [0] * 10, 64, protocol=RELEASE, graders=("klear",), truncated=600)
    (one,) = comparisons(load_run(builder.write()))
    assert (one.verdict.label, one.verdict.unblocked_label) == ("inconclusive", "not reproduced")
    assert any("heavy truncation (31.2 % of the samples" in reason for reason in one.verdict.blockers)
