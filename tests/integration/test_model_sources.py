"""Models as they are found: on the Hub at one commit, weights last; in folders, hashed once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from klear_program import environment

from klear_repro import files as hashing
from klear_repro.errors import UserError
from klear_repro.files import file_hash, folder_hash, kept_file_hash
from klear_repro.models import FILES, find_model, with_weights

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from fake_hub import COMMIT, FakeHub, serving

SHARDS = {f"model-0000{n}-of-00002.safetensors": bytes(1000 * n) for n in (1, 2)}
FIRST = min(SHARDS)
SMALL = {
    "config.json": b'{"model_type": "qwen3"}', "tokenizer.json": b"{}", "generation_config.json": b"{ }", "chat_template.jinja": b"{{ 1 }}",
    "model.safetensors.index.json": json.dumps({"weight_map": dict(zip("ab", SHARDS, strict=True))}).encode(),
}  # fmt: skip
OTHER = {"README.md": b"#", "consolidated.safetensors": bytes(9000), "onnx/model.safetensors": bytes(9000), "original.pth": b"\x80"}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    lost = SMALL | {FIRST: SHARDS[FIRST]}
    quants = {"config.json": b"{}", "q4.gguf": b"GGUF"}
    with serving({"models/org/tiny": SMALL | SHARDS | OTHER, "models/org/lost": lost, "models/org/quants": quants}) as server:
        yield server


def found(hub: FakeHub, home: Path, *steps: str, **more: str) -> Any:
    """What a process of its own prints as JSON after these statements; it has `find_model` and `with_weights`."""
    program = "import json\nfrom klear_repro.models import *\nfrom klear_repro.models import find_model\n" + "\n".join(steps)
    program += "\nprint(json.dumps([str(s.folder), s.name, s.revision, s.weight_bytes, list(s.missing)]))"
    env = environment(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", HF_HOME=str(home), HF_HUB_DISABLE_TELEMETRY="1") | more
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, timeout=120, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def fetched(hub: FakeHub) -> list[str]:
    return sorted(path.rpartition("/resolve/")[2] for method, path, _ in hub.asked if method == "GET" and "/resolve/" in path)


def test_a_model_of_the_hub_is_resolved_once_and_its_weights_come_when_they_are_asked_for(hub: FakeHub, tmp_path: Path) -> None:
    folder, name, revision, size, missing = found(hub, tmp_path, "s = find_model('org/tiny', weights=False)")
    assert (name, revision, size, missing) == ("tiny", COMMIT, 3000, sorted(SHARDS))
    assert fetched(hub) == sorted(f"{COMMIT}/{file}" for file in SMALL)
    hub.asked.clear()
    again = found(hub, tmp_path, "s = find_model('org/tiny', weights=False)", "find_model('org/tiny')", "s = with_weights(s)")
    assert again == [folder, "tiny", COMMIT, 3000, []]
    assert fetched(hub) == sorted(f"{COMMIT}/{file}" for file in SHARDS), "what is there already is not fetched again"
    resolving = [path for _, path, _ in hub.asked if "/main" in path or path == "/api/models/org/tiny"]
    assert len(resolving) == 1, "the branch is looked up once; everything else names the commit"
    assert sorted(file.name for file in Path(folder).iterdir()) == sorted([*SMALL, *SHARDS])


@pytest.mark.slow
def test_without_the_hub_the_whole_copy_from_before_is_taken(hub: FakeHub, tmp_path: Path) -> None:
    found(hub, tmp_path, "s = find_model('org/tiny', weights=False)")
    half = found(hub, tmp_path, "s = find_model('org/tiny')", HF_HUB_OFFLINE="1")
    assert "the Hub cannot be reached" in half or "missing" in half
    found(hub, tmp_path, "s = find_model('org/tiny')")
    hub.repos = {}
    spellings = ("'org/tiny'", "'org/tiny@main'", f"'org/tiny@{COMMIT}'", f"'org/tiny', {COMMIT!r}")
    same = [f"assert find_model({spelling}) == s" for spelling in spellings]
    assert found(hub, tmp_path, "s = find_model('org/tiny')", *same, HF_HUB_OFFLINE="1")[1:] == ["tiny", COMMIT, 3000, []]


REFUSED = {
    ("org/lost",): "1 of 2 weight files that model.safetensors.index.json names are missing: model-00002-of-00002.safetensors",
    ("org/quants",): "only GGUF; pass one of its files as a path: q4.gguf",
    ("org/tiny@other",): "not on the Hub at revision 'other'",
    ("org/tiny@main", "v1"): "eval.revision='v1' is another one",
    ("org/tiny/model",): "no such folder",
    ("org/ti ny",): "neither a folder here nor an id of the Hub",
}


def test_what_the_hub_does_not_have_is_said_in_one_line_before_any_weight_is_fetched(hub: FakeHub, tmp_path: Path) -> None:
    said = found(
        hub, tmp_path, "from klear_repro.errors import UserError", "said = []", f"for asked in {list(REFUSED)}:",
        "    try: find_model(*asked)", "    except UserError as error: said.append(str(error))", "raise SystemExit(json.dumps(said))",
    )  # fmt: skip
    for message, why in zip(json.loads(said), REFUSED.values(), strict=True):
        assert why in message and "\n" not in message
    assert not [file for file in fetched(hub) if file.endswith((".safetensors", ".gguf"))]


def fill(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in (SMALL | SHARDS).items():
        (folder / name).write_bytes(content)
    return folder




@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Files whose contents are read for a hash, with hashes kept of files of any size and age."""
    seen: list[Path] = []

    def counted(path: Path) -> str:
        seen.append(path)
        return file_hash(path)

    monkeypatch.setattr(hashing, "file_hash", counted)
    monkeypatch.setattr(hashing, "_KEPT_FROM_BYTES", 0)
    monkeypatch.setattr(hashing, "_SETTLED_S", -1.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return seen


def test_a_folder_is_hashed_once_and_again_only_where_a_file_changed(read: list[Path], tmp_path: Path) -> None:
    folder = fill(tmp_path / "mine")
    first = find_model(str(folder))
    assert first.revision == folder_hash(folder, FILES) and first.weight_bytes == 3000 and with_weights(first) == first
    everything = len(SMALL | SHARDS)
    assert len(read) == everything
    assert find_model(str(folder)) == first and len(read) == everything
    changed = folder / FIRST
    before = changed.stat()
    changed.write_bytes(b"\1" + bytes(999))
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))  # as tools do that keep times
    assert find_model(str(folder)).revision not in ("", first.revision)
    assert read[everything:] == [changed]


def test_a_kept_hash_that_is_damaged_or_cannot_be_kept_costs_time_only(
    read: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = fill(tmp_path / "mine") / FIRST
    expected = kept_file_hash(file)
    (kept,) = (tmp_path / "cache").rglob("hashes/*")
    for damage in (b"", b"\xff\xfe", b"0" * 15, b"0" * 17, b"not-a-hash-at-al"):
        kept.write_bytes(damage)
        assert kept_file_hash(file) == expected
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert kept_file_hash(file) == expected == kept_file_hash(file)


def test_the_hash_of_a_file_that_was_just_written_is_not_kept(
    read: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "_SETTLED_S", 1000.0)
    file = fill(tmp_path / "mine") / FIRST
    assert kept_file_hash(file) == kept_file_hash(file) and read == [file, file]


def test_a_snapshot_of_the_hubs_cache_is_its_commit_and_is_not_hashed(read: list[Path], tmp_path: Path) -> None:
    folder = fill(tmp_path / "models--org--tiny" / "snapshots" / COMMIT)
    source = find_model(str(folder))
    assert (source.name, source.revision, read) == ("tiny", COMMIT, [])


def test_a_folder_whose_index_is_damaged_or_names_what_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = fill(tmp_path / "mine")
    (folder / [*SHARDS][1]).unlink()
    with pytest.raises(UserError, match="1 of 2 weight files .* are missing: model-00002"):
        find_model(str(folder))
    for index in (b"[]", b"\xff", b'{"weight_map": 3}', b'{"weight_map": {"a": ["b"]}}', b"[" * 100_000):
        (folder / "model.safetensors.index.json").write_bytes(index)
        with pytest.raises(UserError, match="index"):
            find_model(str(folder))
