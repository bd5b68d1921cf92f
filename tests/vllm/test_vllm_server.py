"""RL with a vLLM server as the rollout engine: its weights are the trainer's at every step."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_vllm_rollouts import PROFILE

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).resolve().parents[2]


def klear(*words: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "klear_repro.run", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=900)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Words of a run whose SFT is done."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "rollouts.toml").write_text(PROFILE.replace('engine = "vllm"', ""))
    words = ["--profile", folder / "rollouts.toml", "--run-dir", folder / "run"]
    done = klear(*words, "--stage", "sft")
    assert done.returncode == 0, done.stderr[-3000:]
    return words


def serve(model: Path, log: Path, *options: str) -> tuple[subprocess.Popen[bytes], str]:
    """A vLLM server that is ready, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # as `vllm serve`, whose script asks for a package named vllm, which the CPU build is not
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(port)]
    command += ["--host", "127.0.0.1"]
    command += ["--dtype", "float32", "--enforce-eager", "--no-enable-chunked-prefill", "--max-num-seqs", "32", *options]
    settings = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "PYTHONPATH": str(ROOT)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **settings}, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return process, f"{address}/v1"
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, log.read_text()[-3000:]
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-3000:])


@pytest.fixture
def server(trained: list[Any], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    model = trained[3] / "checkpoints" / "sft" / "step-60"
    process, address = serve(model, tmp_path / "server.log", *request.param)
    yield address
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


RECEIVER = ("--logprobs-mode", "processed_logprobs", "--worker-extension-cls", "klear_repro.engines.vllm_worker.WeightReceiver")


@pytest.mark.parametrize("server", [RECEIVER], indirect=True)
def test_five_steps_with_a_server_keep_both_sides_on_the_same_weights(trained: list[Any], server: str) -> None:
    """The model has tied embeddings; the weights move, and the server's move along."""
    done = klear(*trained, "--stage", "rl-math", "--rl_math.engine", "vllm-server", "--rl_math.endpoints", server)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in (trained[3] / "metrics" / "rl-math.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
    assert max(row["logprob_gap"] for row in rows) < 1e-3
    assert any(abs(row["ratio_max"] - 1) > 1e-2 for row in rows)


@pytest.mark.parametrize("server", [()], indirect=True)
def test_a_server_that_cannot_take_weights_over_is_one_line(trained: list[Any], server: str) -> None:
    done = klear(*trained, "--stage", "rl-math", "--force", "--rl_math.engine", "vllm-server", "--rl_math.endpoints", server)
    assert done.returncode == 1, done.stderr[-3000:]
    assert "--worker-extension-cls klear_repro.engines.vllm_worker.WeightReceiver" in done.stderr.splitlines()[-1]


def test_servers_are_named_by_their_engine_and_by_no_other(trained: list[Any]) -> None:
    for words in (("--rl_math.engine", "vllm-server"), ("--rl_math.endpoints", "http://127.0.0.1:1/v1")):
        refused = klear(*trained, "--stage", "rl-math", "--force", *words)
        assert refused.returncode == 2
        assert "endpoints=" in refused.stderr.splitlines()[-1]
