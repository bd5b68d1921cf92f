"""The Hub path with the real client against a local server that speaks the Hub's protocol."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from klear_program import environment, finish, klear, start

from benchmarks.answer_keys import load_key
from klear_repro.data.tokenizer import train_tokenizer
from klear_repro.models import new_model
from klear_repro.sections import ModelConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from fake_hub import COMMIT, FakeHub, aime_2024, as_parquet, serving

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> dict[str, bytes]:
    """A small checkpoint in Hub format; its weights are larger than what the client keeps in memory at a time."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = train_tokenizer([(shared / "data" / "aime24.qs.jsonl").read_text()], 400)
    config = ModelConfig(hidden_size=256, layers=4, heads=4, kv_heads=2, head_dim=64, intermediate_size=2048, vocab_size=400,
                         max_position=2048)  # fmt: skip
    tokenizer.save_pretrained(folder)
    new_model(config, tokenizer, 0).save_pretrained(folder)
    found = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert len(found[WEIGHTS]) > 24 << 20
    return found


@pytest.fixture
def hub(files: dict[str, bytes], shared: Path) -> Iterator[FakeHub]:
    problems = (shared / "data" / "aime25.qs.jsonl").read_bytes()
    pickled = {name: content for name, content in files.items() if name != WEIGHTS} | {"pytorch_model.bin": b"\x80\x04."}
    config = json.loads(files["config.json"]) | {"auto_map": {"AutoModelForCausalLM": "modeling_tiny.Tiny"}}
    coded = files | {"config.json": json.dumps(config).encode(), "modeling_tiny.py": b"raise SystemExit(7)"}
    named = [{"problem_idx": str(at), "id": entry.id, "problem": f"Find the number {at}.", "answer": entry.answer}
             for at, entry in enumerate(load_key("aime26").problems, start=1)]  # fmt: skip
    repos = {
        "models/org/tiny": files, "models/org/pickled": pickled, "models/org/coded": coded,
        f"datasets/{load_key('aime24').hub_repo}": aime_2024(shared),
        f"datasets/{load_key('aime25').hub_repo}": {"test.jsonl": problems},
        f"datasets/{load_key('aime26').hub_others[0]}": as_parquet(named, ("problem_idx", "id", "problem", "answer")),
    }  # fmt: skip
    with serving(repos) as server:
        yield server


def words(run: Path, model: str = "org/tiny", benchmark: str = "aime25", limit: int = 2) -> list[str | Path]:
    """What `tox -e eval -- --model org/tiny --engine hf` runs, made short."""
    return [
        "--stage", "eval,report", "--profile", "klear-8b-eval", "--model", model, "--engine", "hf", "--benchmark", benchmark, "--protocol",
        "klear-paper-32k", "--samples", "1", "--limit", str(limit), "--eval.max_new_tokens", "4", "--eval.max_model_len", "2048",
        "--run-dir", run,
    ]  # fmt: skip


def at(hub: FakeHub, home: Path, **more: str) -> dict[str, str]:
    return environment(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", HF_HOME=str(home), HF_HUB_DISABLE_TELEMETRY="1") | more


def test_a_model_and_a_benchmark_are_downloaded_evaluated_and_reported_at_the_resolved_revision(hub: FakeHub, tmp_path: Path) -> None:
    outcome = klear(*words(tmp_path / "run"), env=at(hub, tmp_path / "home"))
    assert outcome.code == 0, outcome.err
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    (entry,) = manifest["evaluations"]
    assert entry["revision"] == COMMIT and entry["model"] == "tiny" and entry["samples"] == 2
    assert entry["source"] == [f"{load_key('aime25').hub_repo}@{COMMIT}"]
    assert COMMIT in (tmp_path / "run" / "report" / "report.md").read_text()
    assert not [path for _, path, _ in hub.asked if path.endswith((".py", ".bin"))]
    hub.repos = {}
    again = klear(*words(tmp_path / "again"), env=at(hub, tmp_path / "home", HF_HUB_OFFLINE="1"))
    assert again.code == 0 and "the copy from before is taken" in again.err, again.err


def test_aime_2024_as_the_hub_has_it_is_evaluated_and_reported(hub: FakeHub, tmp_path: Path) -> None:
    outcome = klear(*words(tmp_path / "run", benchmark="aime24", limit=30), env=at(hub, tmp_path / "home"))
    assert outcome.code == 0, outcome.err
    (entry,) = json.loads((tmp_path / "run" / "manifest.json").read_text())["evaluations"]
    assert entry["problems"] == entry["samples"] == 30
    assert entry["source"] == [f"{load_key('aime24').hub_repo}@{COMMIT}"]
    assert "16 of 30 statements differ from the reference copy of aime24 (answers agree)" in outcome.err
    report = (tmp_path / "run" / "report" / "report.md").read_text()
    assert "aime24" in report and COMMIT in report


@pytest.mark.slow
def test_a_benchmark_after_every_publication_is_reported_without_a_published_number(hub: FakeHub, tmp_path: Path) -> None:
    """Its first repository is not on this Hub, so the second one is taken."""
    outcome = klear(*words(tmp_path / "run", benchmark="aime26"), env=at(hub, tmp_path / "home"))
    assert outcome.code == 0, outcome.err
    (entry,) = json.loads((tmp_path / "run" / "manifest.json").read_text())["evaluations"]
    assert entry["benchmark"] == "aime26" and entry["source"] == [f"{load_key('aime26').hub_others[0]}@{COMMIT}"]
    report = (tmp_path / "run" / "report" / "report.md").read_text()
    lines = [line for line in report.splitlines() if "aime26" in line]
    assert lines and not [line for line in lines if "P Table 1" in line or "reproduced" in line]


def test_a_download_that_breaks_off_is_resumed(hub: FakeHub, files: dict[str, bytes], tmp_path: Path) -> None:
    hub.cuts[WEIGHTS] = 21 << 20
    outcome = klear(*words(tmp_path / "run"), env=at(hub, tmp_path / "home"))
    assert outcome.code == 0, outcome.err
    ranges = [asked for method, path, asked in hub.asked if method == "GET" and path.endswith(WEIGHTS)]
    assert ranges[0] is None and len(ranges) == 2 and int(str(ranges[1]).removeprefix("bytes=").rstrip("-")) >= 10 << 20
    (kept,) = (tmp_path / "home").rglob(f"snapshots/{COMMIT}/{WEIGHTS}")
    assert kept.read_bytes() == files[WEIGHTS]


def test_a_program_killed_in_a_download_keeps_the_files_that_were_whole(hub: FakeHub, files: dict[str, bytes], tmp_path: Path) -> None:
    """The client begins the file that it was killed in anew; within one process it resumes, as above."""
    hub.stalls[WEIGHTS] = 21 << 20
    process = start(*words(tmp_path / "run"), env=at(hub, tmp_path / "home"))
    assert hub.stalled.wait(60)
    part = 0
    for _ in range(600):
        part = max((file.stat().st_size for file in (tmp_path / "home").rglob("*.incomplete")), default=0)
        if part >= 10 << 20:
            break
        process.poll()
        hub.closing.wait(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    outcome = klear(*words(tmp_path / "run"), env=at(hub, tmp_path / "home"))
    assert outcome.code == 0, outcome.err
    fetched = [path.rpartition("/")[2] for method, path, _ in hub.asked if method == "GET" and "/org/tiny/resolve/" in path]
    assert sorted(fetched) == sorted([*(name for name in files if name.endswith((".json", ".jinja"))), WEIGHTS, WEIGHTS])
    (kept,) = (tmp_path / "home").rglob(f"snapshots/{COMMIT}/{WEIGHTS}")
    assert kept.read_bytes() == files[WEIGHTS]


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("org/pickled", "only pytorch_model.bin, which is pickled"),
        ("org/coded", "it needs code from modeling_tiny (auto_map in config.json)"),
        ("org/nothing", "not on the Hub at revision 'main'"),
    ],
)
def test_what_may_not_be_loaded_is_refused_before_any_weight_is_downloaded(hub: FakeHub, tmp_path: Path, model: str, why: str) -> None:
    outcome = klear(*words(tmp_path / "run", model), env=at(hub, tmp_path / "home"))
    assert outcome.code == 2 and why in outcome.lines[-1], outcome.err
    assert not [path for method, path, _ in hub.asked if method == "GET" and path.endswith((WEIGHTS, ".bin", ".py"))]
