"""Which stack of packages a machine takes, and what tox makes of it; the machine is a temporary folder and a PATH."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from klear_repro.stack import choose_stack, cuda_torch

ROOT = Path(__file__).resolve().parents[2]
LISTED = 'echo "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-7a)"; echo "GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-7b)"'
VERSION = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build\nGCC version:  gcc version 13.3.0\n"


def program(folder: Path, script: str, name: str = "nvidia-smi") -> dict[str, str]:
    """An environment with a program of that name first on PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def machine(folder: Path, *, driver: str = "", devices: tuple[str, ...] = ()) -> Path:
    """The files that an NVIDIA driver shows."""
    (folder / "dev").mkdir(parents=True)
    for name in devices:
        (folder / "dev" / name).touch()
    if driver:
        (folder / "proc" / "driver" / "nvidia").mkdir(parents=True)
        (folder / "proc" / "driver" / "nvidia" / "version").write_text(VERSION.format(driver))
    return folder


NOTHING = {"PATH": "/nowhere"}


# --- the choice ---------------------------------------------------------------------------------


def test_a_machine_without_a_driver_takes_core(tmp_path: Path) -> None:
    stack = choose_stack(NOTHING, machine(tmp_path))
    assert (stack.name, stack.reason) == ("core", "no NVIDIA GPU here")
    assert choose_stack({}, machine(tmp_path / "no PATH at all")).name == "core"


def test_a_gpu_that_nvidia_smi_lists_is_taken(tmp_path: Path) -> None:
    stack = choose_stack(program(tmp_path / "bin", LISTED), machine(tmp_path / "root"))
    assert (stack.name, stack.reason) == ("cuda", "GPU 0: NVIDIA H100 80GB HBM3")


def test_a_silent_nvidia_smi_that_succeeds_counts_as_a_gpu(tmp_path: Path) -> None:
    assert choose_stack(program(tmp_path / "bin", "exit 0"), machine(tmp_path / "root")).name == "cuda"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'NVIDIA-SMI has failed because it could not communicate with the driver.'; exit 9", "could not communicate"),
        ("echo 'Failed to initialize NVML: Driver/library version mismatch' >&2; exit 18", "version mismatch"),
        ("exit 127", "exit code 127"),
        ("echo 'No devices were found'; exit 6", "No devices"),
        ("echo 'No devices found.'", "No devices"),
    ],
)
def test_an_nvidia_smi_that_fails_or_lists_nothing_is_core_with_its_word(script: str, said: str, tmp_path: Path) -> None:
    stack = choose_stack(program(tmp_path / "bin", script), machine(tmp_path / "root", driver="580.65.06", devices=("nvidia0",)))
    assert stack.name == "core"
    assert said in stack.reason


def test_an_nvidia_smi_that_cannot_be_started_is_core(tmp_path: Path) -> None:
    path = program(tmp_path / "bin", LISTED)
    (tmp_path / "bin" / "nvidia-smi").write_bytes(b"\x7fELF of another processor")
    assert choose_stack(path, machine(tmp_path / "root")).name == "core"


def test_an_nvidia_smi_without_an_end_is_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klear_repro.stack.ANSWER_S", 0.2)
    stack = choose_stack(program(tmp_path / "bin", "exec sleep 60"), machine(tmp_path / "root"))
    assert stack.name == "core"
    assert "no answer" in stack.reason


def test_a_container_without_nvidia_smi_is_known_by_the_drivers_files(tmp_path: Path) -> None:
    assert choose_stack(NOTHING, machine(tmp_path, driver="580.65.06", devices=("nvidia0", "nvidia1", "nvidiactl"))).name == "cuda"


def test_a_driver_without_a_device_is_core(tmp_path: Path) -> None:
    stack = choose_stack(NOTHING, machine(tmp_path, driver="580.65.06", devices=("nvidiactl", "nvidia-uvm")))
    assert (stack.name, stack.reason) == ("core", "an NVIDIA driver without a GPU")


def test_a_device_without_a_driver_is_core(tmp_path: Path) -> None:
    assert choose_stack(NOTHING, machine(tmp_path, devices=("nvidia0",))).name == "core"


def test_wsl_lends_its_own_nvidia_smi(tmp_path: Path) -> None:
    root = machine(tmp_path, devices=("dxg",))
    assert choose_stack(NOTHING, root).name == "core"  # /dev/dxg alone may be any GPU
    program(root / "usr" / "lib" / "wsl" / "lib", LISTED)
    assert choose_stack(NOTHING, root).name == "cuda"
    program(root / "usr" / "lib" / "wsl" / "lib", "exit 9")
    assert choose_stack(NOTHING, root).name == "core"


@pytest.mark.parametrize("hidden", ["", "-1", " ", "-1,0", "NoDevFiles", "none"])
def test_hidden_gpus_are_core(hidden: str, tmp_path: Path) -> None:
    stack = choose_stack(program(tmp_path / "bin", LISTED) | {"CUDA_VISIBLE_DEVICES": hidden}, machine(tmp_path / "root"))
    assert stack.name == "core"
    assert "CUDA_VISIBLE_DEVICES" in stack.reason


@pytest.mark.parametrize("seen", ["0", "3,1", "0,-1", "GPU-8932f937-d72c", "MIG-GPU-8932/1/0"])
def test_chosen_gpus_are_cuda(seen: str, tmp_path: Path) -> None:
    assert choose_stack(program(tmp_path / "bin", LISTED) | {"CUDA_VISIBLE_DEVICES": seen}, machine(tmp_path / "root")).name == "cuda"


def test_the_override_has_the_last_word(tmp_path: Path) -> None:
    gpu = program(tmp_path / "bin", LISTED)
    assert choose_stack(gpu | {"KLEAR_STACK": "core"}, machine(tmp_path / "a")).name == "core"
    assert choose_stack(NOTHING | {"KLEAR_STACK": "cuda", "CUDA_VISIBLE_DEVICES": ""}, machine(tmp_path / "b")).name == "cuda"
    assert choose_stack(gpu | {"KLEAR_STACK": ""}, machine(tmp_path / "c")).name == "cuda"
    with pytest.raises(ValueError, match=r"KLEAR_STACK='gpu': allowed are core, cuda"):
        choose_stack(gpu | {"KLEAR_STACK": "gpu"}, machine(tmp_path / "d"))


@pytest.mark.parametrize(("driver", "old"), [("550.54.14", True), ("535.183", True), ("580.65.06", False), ("590.1", False)])
def test_a_driver_too_old_for_the_stack_is_said(driver: str, old: bool, tmp_path: Path) -> None:
    root = machine(tmp_path / "root", driver=driver, devices=("nvidia0",))
    for environment in (NOTHING, program(tmp_path / "bin", LISTED)):
        stack = choose_stack(environment, root)
        assert stack.name == "cuda"
        assert (f"its driver {driver} is older than 580" in stack.reason) == old


# --- the build of torch -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (["2.13.0"], "2.13.0"),
        (["2.13.0", "2.13.0+cpu"], ""),
        (["2.13.0+cu130", "2.13.0+cpu"], "2.13.0+cu130"),  # pip takes the greater one
        (["2.12.0+cpu", "2.13.0"], "2.13.0"),
        ([], ""),  # the installation says what is wrong
    ],
)
def test_pip_is_asked_which_torch_it_would_take(there: list[str], taken: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("pip") is None:
        pytest.skip("no pip in this environment")
    for version in there:
        (tmp_path / f"torch-{version}-py3-none-any.whl").touch()
    found = {"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    assert cuda_torch(sys.executable, "2.13.0", found) == taken


def test_a_python_without_pip_is_no_error(tmp_path: Path) -> None:
    assert cuda_torch(tmp_path / "python", "2.13.0") == ""


# --- tox ----------------------------------------------------------------------------------------


def tox(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """tox of this environment or of PATH, on a machine without a GPU unless `environment` says so."""
    command = [sys.executable, "-m", "tox"] if importlib.util.find_spec("tox") else [shutil.which("tox") or ""]
    if not command[0]:
        pytest.skip("no tox here")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TOX", "KLEAR_STACK", "CUDA_"))}
    return subprocess.run([*command, *words], cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=False, timeout=300)


def evaluation_environment(folder: Path, **environment: str) -> dict[str, str]:
    """What `tox -e eval` would make, by key."""
    words = ("--workdir", str(folder), "config", "-e", "eval", "-k", "env_dir", "extras", "deps", "runner", "pass_env", "commands")
    done = tox(*words, **environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = {}
    key = ""
    for line in done.stdout.splitlines()[1:]:
        if line.startswith(" "):
            found[key] += f" {line.strip()}"
        elif line:
            key, _, value = line.partition(" = ") if " = " in line else (line.removesuffix(" ="), "", "")
            found[key] = value
    return {key: value.strip() for key, value in found.items()}


def test_eval_is_made_of_the_cuda_stack_where_nvidia_smi_answers(tmp_path: Path) -> None:
    path = program(tmp_path / "bin", LISTED)["PATH"] + os.pathsep + os.environ["PATH"]
    found = evaluation_environment(tmp_path, PATH=path)
    assert found["env_dir"] == str(tmp_path / "cuda")
    assert found["extras"] == "cuda"
    assert found["deps"] == "-c constraints/cuda.txt torch"
    assert found["commands"].endswith("--stage eval,report --profile klear-8b-eval")


def test_eval_asks_for_nothing_of_the_cuda_stack_elsewhere(tmp_path: Path) -> None:
    found = evaluation_environment(tmp_path, KLEAR_STACK="core")
    assert found["env_dir"] == str(tmp_path / "core")
    assert found["extras"] == "dev"
    assert found["deps"] == "-c constraints/core.txt torch"
    core, cuda = (names(ROOT / "constraints" / f"{name}.txt") for name in ("core", "cuda"))
    assert {"vllm", "flashinfer-python"} <= cuda - core
    assert not {name for name in core if "vllm" in name or name.startswith(("nvidia-cu", "flashinfer"))}


def names(file: Path) -> set[str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return {line.partition("==")[0].lower().replace("_", "-") for line in lines if line and not line.startswith("#")}


def test_eval_sees_what_a_gpu_user_sets_and_is_made_by_pip(tmp_path: Path) -> None:
    found = evaluation_environment(tmp_path, KLEAR_STACK="cuda")
    assert found["runner"] == "virtualenv"
    passed = set(found["pass_env"].split())
    assert {"OPENAI_API_KEY", "VLLM_*", "NCCL_*", "CUDA_*", "TORCH*", "NVIDIA_*", "HF_*", "PIP_*", "UV_*", "*_PROXY"} <= passed


@pytest.mark.parametrize("words", [(), ("--model", "some/model"), ("--engine", "hf", "--engine=vllm"), ("--profile", "klear-8b-eval")])
def test_without_a_gpu_eval_wants_another_engine_before_it_makes_anything(words: tuple[str, ...], tmp_path: Path) -> None:
    done = tox("--workdir", str(tmp_path / "tox"), "-e", "eval", "--", *words, KLEAR_STACK="core")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "--engine hf" in line and "--engine openai" in line
    assert not (tmp_path / "tox").exists()


def test_the_build_of_torch_is_said_before_the_installation(tmp_path: Path) -> None:
    (tmp_path / "torch-2.13.0-py3-none-any.whl").touch()
    only = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "KLEAR_STACK": "core"}
    done = tox("--workdir", str(tmp_path / "tox"), "-e", "eval", "--", "--engine", "hf", **only)
    assert done.returncode == 1  # the wheel is empty
    first, second = done.stderr.splitlines()[:2]
    assert "core stack without vLLM" in first and "engine hf" in first
    assert "about 3 GB" in second and "PIP_EXTRA_INDEX_URL" in second and "PIP_FIND_LINKS" in second
