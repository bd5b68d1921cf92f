"""tox's own plug-in of this project: which stack `eval` takes, and what is said before anything is downloaded.

tox loads this file by itself, in the Python that tox runs on: it imports only tox, the standard library and `klear_repro.stack`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tox.config.loader.memory import MemoryLoader
from tox.plugin import impl
from tox.tox_env.runner import RunToxEnv

from klear_repro.stack import OVERRIDE, Stack, choose_stack, cuda_torch

ROOT = Path(__file__).resolve().parent
RUNS = ("run", "r", "run-parallel", "p", "legacy", "le")
"""Commands of tox that make and run environments, unlike `config` and `list`."""


@impl
def tox_add_core_config(core_conf: Any, state: Any) -> None:
    """Make `eval` of the section `cuda` where there is a GPU."""
    options = state.conf.options
    chosen = list(getattr(options, "env", None) or ()) if options.command in RUNS else []
    if chosen and sys.version_info < (3, 11):  # its environments get the Python that tox runs on
        _stop(f"Python 3.11 or later is needed, and this tox runs on {sys.version.split()[0]}: install tox with a newer one")
    try:
        stack = choose_stack()
    except ValueError as error:
        _stop(str(error))
    if stack.name == "cuda":
        state.conf.memory_seed_loaders["eval"].append(MemoryLoader(base=["cuda", "testenv"]))
    if "eval" in chosen:
        _before_eval(stack, state.conf.pos_args(None) or ())


def _before_eval(stack: Stack, words: Sequence[str]) -> None:
    """Say which stack it is; refuse an engine that this one cannot have, before anything is made."""
    if {"--help", "-h"} & set(words) or not {"eval", "all"} & set(_last(words, ("--stage",), "eval").split(",")):
        return  # nothing is generated
    if stack.name == "cuda":
        return _say(f"CUDA stack with vLLM in .tox/cuda ({stack.reason}); {OVERRIDE}=core takes the one without")
    engine = _engine(words)
    if engine == "vllm":
        _stop(
            f"eval takes the core stack here, without vLLM ({stack.reason}): pass --engine hf, or --engine openai with --eval.endpoints; "
            f"{OVERRIDE}=cuda takes the CUDA stack all the same"
        )
    _say(f"core stack without vLLM in .tox/core ({stack.reason}), engine {engine}; {OVERRIDE}=cuda takes the one with vLLM")


def _engine(words: Sequence[str]) -> str:
    """The engine that the words name, or else their profile; like the program, it takes the last of each."""
    if engine := _last(words, ("--engine", "--eval.engine"), ""):
        return engine
    profile = _last(words, ("--profile",), "klear-8b-eval")
    file = Path(profile) if profile.endswith(".toml") else ROOT / "klear_repro" / "profiles" / f"{profile}.toml"
    try:
        import tomllib

        return str(tomllib.loads(file.read_text(encoding="utf-8"))["eval"]["engine"])
    except (OSError, ValueError, KeyError, TypeError):
        return "hf"  # the default, or a profile that is wrong, about which the program says more


def _last(words: Sequence[str], flags: Sequence[str], default: str) -> str:
    """The value that the words give a flag the last time."""
    found = default
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in flags:
            found = value if equals else next(iter(words[index + 1 :]), "")
    return found


@impl
def tox_on_install(tox_env: Any, arguments: Any, section: str, of_type: str) -> None:
    """Before torch is installed into a core environment: say so if it is the build for CUDA, which no CPU needs."""
    if of_type != "deps" or not isinstance(tox_env, RunToxEnv):  # the other kind builds the package
        return
    folder = Path(tox_env.conf["env_dir"])
    if folder.name == "cuda" or list(folder.glob("lib/python*/site-packages/torch/version.py")):
        return
    _, lines = tox_env.conf["deps"].unroll()  # requirements, and constraints as «-c NAME==VERSION»
    pins = [line.partition("==")[2] for line in lines if line.startswith("-c torch==")]
    version = cuda_torch(tox_env.env_python(), pins[0], tox_env.environment_variables) if pins else ""
    if version:
        _say(
            f"pip sees no CPU build of torch and takes torch {version} with its CUDA libraries, about 3 GB to download; "
            "to have the small build, stop here and set PIP_EXTRA_INDEX_URL to pytorch.org's package index for CPU, "
            "or PIP_FIND_LINKS to a folder with the wheel"
        )


def _say(text: str) -> None:
    print(f"klear-repro: {text}", file=sys.stderr, flush=True)


def _stop(text: str) -> NoReturn:
    _say(text)
    raise SystemExit(2)
