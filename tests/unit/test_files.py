"""Files that survive a kill: whole or absent, and at most a torn last line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klear_repro.files import Appender, file_hash, folder_hash, keep_rows, make_folder, read_rows, write_atomic, write_json


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount program: a full disk needs a small tmpfs")
    if done.returncode:
        pytest.skip(f"a full disk needs a small tmpfs, which this user may not mount: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=False)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# --- append-only --------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [b'{"step": 3', b"{", b"\xff\xfe", b'{"step": 3}', b"x" * 200_000])
def test_a_torn_last_line_is_set_aside_and_the_rest_goes_on(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n' + tail)
    assert [row["step"] for row in read_rows(path)] == [1, 2]
    with Appender(path) as rows:
        assert rows.torn
        rows.append({"step": 3})
    assert [row["step"] for row in read_rows(path)] == [1, 2, 3]
    assert path.with_name("rows.jsonl.torn").read_bytes() == tail + b"\n"


def test_a_file_that_is_one_torn_line_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"step"')
    with Appender(path) as rows:
        assert rows.torn
    assert path.read_bytes() == b""


def test_a_whole_or_missing_file_is_not_torn(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rows.jsonl"
    for _ in range(2):
        with Appender(path, sync=True) as rows:
            assert not rows.torn
            rows.append({"text": "line\nbreak \u2028 é"})
    assert read_rows(path) == [{"text": "line\nbreak \u2028 é"}] * 2
    assert names(tmp_path) == ["deep", "deep/rows.jsonl"]
    assert read_rows(tmp_path / "none.jsonl") == []


@given(st.lists(st.dictionaries(st.text(max_size=5), st.one_of(st.text(), st.integers(), st.none())), max_size=6), st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_whatever_byte_a_kill_stops_at_the_whole_rows_before_it_are_kept(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "rows.jsonl"
    with Appender(path) as out:
        for row in rows:
            out.append(row)
    data = path.read_bytes()[:cut]
    path.write_bytes(data)
    whole = data.count(b"\n")
    assert read_rows(path) == rows[:whole]
    with Appender(path) as out:
        assert out.torn == (not data.endswith(b"\n") and data != b"")
        out.append({"after": 1})
    assert read_rows(path) == [*rows[:whole], {"after": 1}]


def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"step": 1}\nnonsense\n{"step": 2}\n')
    with pytest.raises(ValueError):
        read_rows(path)


def test_nan_is_no_row(tmp_path: Path) -> None:
    with Appender(tmp_path / "rows.jsonl") as rows, pytest.raises(ValueError):
        rows.append({"loss": float("nan")})
    assert (tmp_path / "rows.jsonl").read_bytes() == b""


def test_rows_can_be_dropped_and_a_torn_one_goes_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    keep_rows(path, lambda row: row["step"] != 2)
    assert [row["step"] for row in read_rows(path)] == [1, 3]
    keep_rows(tmp_path / "none.jsonl", lambda row: True)
    assert names(tmp_path) == ["rows.jsonl"]


# --- whole files --------------------------------------------------------------------------------


def test_a_file_is_written_whole_and_leaves_no_other(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b.txt", "é\n")
    write_json(tmp_path / "a" / "c.json", {"x": [1, None, "é"]})
    assert (tmp_path / "a" / "b.txt").read_text() == "é\n"
    assert json.loads((tmp_path / "a" / "c.json").read_text()) == {"x": [1, None, "é"]}
    assert names(tmp_path) == ["a", "a/b.txt", "a/c.json"]


def test_what_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", 1)
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", float("inf"))
    assert (tmp_path / "x.json").read_text() == "1\n"


def test_a_folder_appears_whole_and_replaces_an_older_one(tmp_path: Path) -> None:
    make_folder(tmp_path / "step-1", lambda folder: write_atomic(folder / "old", "1"))
    (tmp_path / ".step-1.tmp").mkdir()  # left by a kill
    (tmp_path / ".step-1.tmp" / "part").write_text("half")
    make_folder(tmp_path / "step-1", lambda folder: write_atomic(folder / "new", "2"))
    assert names(tmp_path) == ["step-1", "step-1/new"]


def test_a_folder_whose_filling_fails_leaves_the_old_one(tmp_path: Path) -> None:
    make_folder(tmp_path / "step-1", lambda folder: write_atomic(folder / "old", "1"))

    def fail(folder: Path) -> None:
        write_atomic(folder / "new", "2")
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        make_folder(tmp_path / "step-1", fail)
    assert names(tmp_path) == ["step-1", "step-1/old"]


def test_hashes_see_names_and_contents(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a.txt", "1")
    write_atomic(tmp_path / "b.txt", "2")
    both = folder_hash(tmp_path)
    assert folder_hash(tmp_path, ("*.json",)) != both
    assert len(file_hash(tmp_path / "a.txt")) == 16
    (tmp_path / "b.txt").rename(tmp_path / "c.txt")
    assert folder_hash(tmp_path) != both
    write_atomic(tmp_path / "c.txt", "3")
    assert folder_hash(tmp_path) not in (both, "")


# --- full disk ----------------------------------------------------------------------------------


def test_on_a_full_disk_the_old_file_stays_and_nothing_half_written_is_left(full_disk: Path) -> None:
    write_atomic(full_disk / "file", "old")
    with pytest.raises(OSError, match="No space"):
        write_atomic(full_disk / "file", "x" * 200_000)
    assert (full_disk / "file").read_text() == "old"
    assert names(full_disk) == ["file"]


def test_on_a_full_disk_a_row_is_written_whole_or_not_at_all(full_disk: Path) -> None:
    path = full_disk / "rows.jsonl"
    with Appender(path) as rows:
        written = 0
        with pytest.raises(OSError, match="No space"):
            for _ in range(100):
                rows.append({"text": "x" * 3000})
                written += 1
    assert written > 5
    assert len(read_rows(path)) == written
    assert path.read_bytes().endswith(b"\n")


def test_on_a_full_disk_a_folder_is_whole_or_absent(full_disk: Path) -> None:
    def fill(folder: Path) -> None:
        for part in range(9):
            (folder / str(part)).write_bytes(b"x" * 20_000)

    with pytest.raises(OSError, match="No space"):
        make_folder(full_disk / "step-1", fill)
    assert names(full_disk) == []


def test_on_a_full_disk_weights_in_safetensors_are_whole_or_absent(full_disk: Path) -> None:
    """safetensors has an error of its own, which is no OSError."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    with pytest.raises(Exception, match="(?i)no space"):
        make_folder(full_disk / "step-1", lambda folder: save_file({"w": torch.zeros(100_000)}, folder / "model.safetensors"))
    assert names(full_disk) == []
