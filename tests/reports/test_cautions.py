"""What a reader must know beside scores: in a report, in a comparison, and in what other programs read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from run_builder import RunBuilder

from benchmarks.protocols import load_protocol
from benchmarks.records import CHEATABLE
from reports.cautions import cheatable, part_of
from reports.load import load_run
from reports.render import write_comparison, write_report

RELEASE = load_protocol("klear-release-64k").model_dump(mode="json")
PART = "Only 100 of 1,319 problems of gsm8k were measured: no score of the benchmark."


def run(path: Path, label: str, benchmark: str, problems: int, graders: tuple[str, ...] = ("strict", "klear"), **engine: Any) -> Path:
    builder = RunBuilder(path / label)
    builder.manifest |= {"name": label, "stand_in": False}
    builder.measure(benchmark, f"model-{label}", [1] * problems, 2, protocol=RELEASE, graders=graders)
    if engine:
        store = builder.path / "generations" / benchmark / f"model-{label}.jsonl"
        rows = [json.loads(line) | {"settings": "s"} for line in store.read_text().splitlines()]
        store.write_text("".join(json.dumps(row) + "\n" for row in rows))
        (store.parent / "settings").mkdir(exist_ok=True)
        (store.parent / "settings" / "s.json").write_text(json.dumps({"engine": engine}))
    return builder.write()


def test_a_part_of_any_known_benchmark_is_no_score_of_it(tmp_path: Path) -> None:
    page = write_report(run(tmp_path, "one", "gsm8k", 100))
    assert PART in page.with_name("report.md").read_text()
    assert "only 100 of 1,319 problems" in page.with_name("model-index.yml").read_text()
    loaded = load_run(tmp_path / "one")
    assert part_of(loaded, "aime26", 29) == "29 of 30 problems" and part_of(loaded, "aime26", 30) == ""
    assert part_of(loaded, "lcb_v6", 5) == "5 of 131 problems" and part_of(loaded, "file-mine", 5) == ""


def test_quantised_weights_stand_in_the_lead(tmp_path: Path) -> None:
    text = write_report(run(tmp_path, "one", "aime24", 30, name="hf", quantization="gguf Q4_1")).with_name("report.md").read_text()
    assert "The weights of model-one are quantised (gguf Q4\\_1)." in text


def test_a_comparison_has_the_cautions_of_its_runs_and_one_judge(tmp_path: Path) -> None:
    runs = [
        run(tmp_path, "one", "gsm8k", 100),
        run(tmp_path, "two", "aime24", 30, ("klear", "strict"), name="openai", vouched=True),
        run(tmp_path, "three", "aime24", 30, ("strict",), name="hf", quantization="fp8"),
    ]
    text = write_comparison(runs, tmp_path / "out").with_name("comparison.md").read_text()
    assert f"one: {PART}" in text
    assert "three: The weights of model-three are quantised (fp8)." in text
    assert "two: That servers ran model-two unquantised and with the protocol" in text
    assert "one: model-one shares no benchmark, grader and problem with another of these." in text
    scores = [line for line in text.splitlines() if line.startswith("| aime24 |") and "klear-release-64k" in line]
    assert len(scores) == 2 and all("| strict |" in line for line in scores), scores


def test_rewards_that_can_be_cheated_are_said_wherever_scores_stand(tmp_path: Path) -> None:
    one, other = (run(tmp_path, name, "gsm8k", 100) for name in ("one", "other"))
    (one / "data").mkdir(exist_ok=True)
    counts = {"rows": 9, "usable": 8, "short enough": 7, CHEATABLE: 2}
    odd = {"a": {CHEATABLE: "2"}, "b": [1], "c": {CHEATABLE: 0, "short enough": 3}, "d": {CHEATABLE: 1}}
    (one / "data" / "funnel.json").write_text(json.dumps({"rl-code": counts, **odd}))
    said = "The tests of 2 of 7 problems of rl-code run in the process of the program they judge, which can pass without being right."
    assert cheatable(load_run(one)) == [said]
    assert cheatable(load_run(other)) == []
    assert said in write_report(one).with_name("report.md").read_text()
    assert said in write_comparison([one, other], tmp_path / "both").with_name("comparison.md").read_text()
