"""The command line: `python -m klear_repro.run`, installed as `klear-repro`.

Parses arguments and builds the configuration; anything heavy is imported only once both are right.
Exit codes: 0 done, 1 failed, 2 bad arguments or configuration, 130 interrupted with everything kept.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which an interrupt or an old Python may end
    import sys

    from klear_repro.entry import main as enter

    sys.exit(enter())

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from klear_repro.config import SECTIONS, Config, ConfigError, fields, load_config, profile_names
from klear_repro.entry import interruptible
from klear_repro.errors import RunError, UserError, machine_failure, missing_package

STAGES = ("data", "sft", "rl-math", "rl-code", "eval", "import", "report")
ALONE = ("import",)
"""Stages that `all` leaves out."""

SHORT = {
    "seed": "runtime.seed",
    "model": "eval.model",
    "engine": "eval.engine",
    "benchmark": "eval.benchmarks",
    "benchmark_path": "eval.benchmark_path",
    "protocol": "eval.protocol",
    "samples": "eval.samples",
    "limit": "eval.limit",
    "max_new_tokens": "eval.max_new_tokens",
    "temperature": "eval.temperature",
    "top_p": "eval.top_p",
    "top_k": "eval.top_k",
    "min_p": "eval.min_p",
    "repetition_penalty": "eval.repetition_penalty",
    "attribute": "eval.attribute",
    "traces": "traces.paths",
}
"""Short flags of configuration fields."""


class _Parser(argparse.ArgumentParser):
    """One line for a wrong argument, exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help lists what is allowed)\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser, with every configuration field as `--section.field`."""
    parser = _Parser(
        prog="klear-repro",
        description="Reproduce Klear-Reasoner-8B: train with GPPO, evaluate, report.",
        epilog=f"profiles: {', '.join(profile_names())}",
        allow_abbrev=False,
    )
    parser.add_argument("--stage", default="all", metavar="NAMES", help=f"comma-separated: {', '.join(STAGES)}, or all, which is all but {', '.join(ALONE)} (default: all)")
    parser.add_argument("--profile", default="", metavar="NAME|FILE", help="named configuration or TOML file (default: the run folder's own, else smoke)")
    parser.add_argument("--run-dir", type=_folder, metavar="DIR", help="run folder (default: runs/PROFILE)")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on where the run folder stands (the default)")
    again.add_argument("--force", action="store_true", help="do the named stages anew, even if finished or made with other settings")
    for flag, dotted in SHORT.items():
        parser.add_argument(f"--{flag.replace('_', '-')}", dest=dotted, metavar="VALUE", help=f"same as --{dotted}")
    groups = {name: parser.add_argument_group(name, model.__doc__) for name, model in SECTIONS.items()}
    for section, name, info in fields():
        default = info.get_default()
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        text = f"{info.description} (default: {shown if shown not in ('', None) else 'empty'})".replace("%", "%%")
        groups[section].add_argument(f"--{section}.{name}", dest=f"{section}.{name}", metavar="VALUE", help=text)
    return parser


def _folder(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError(f"run-dir={text!r}: must name a folder")
    return Path(text)


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, dict[str, str]]:
    """Arguments and the configuration fields among them; hyphens in field names count as underscores."""
    words = list(sys.argv[1:] if argv is None else argv)
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name.startswith("--") and "." in name:
            words[index] = "--" + name[2:].replace("-", "_") + equals + value
    parser = build_parser()
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        flag = unknown[0].partition("=")[0]
        dotted = flag.removeprefix("--")
        if flag.startswith("--") and "." in dotted:
            load_config("smoke", {dotted: ""})  # raises the error that names what is near
        parser.error(f"unknown argument {unknown[0]!r}")
    overrides = {dotted: value for dotted, value in vars(arguments).items() if "." in dotted and value is not None}
    return arguments, overrides


def chosen_stages(text: str) -> list[str]:
    """The stages of `--stage`, in pipeline order.

    Raises:
        ConfigError: an unknown stage.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in (*STAGES, "all"):
            raise ConfigError(f"--stage={name!r}: allowed are {', '.join(STAGES)}, all")
    if not names:
        raise ConfigError(f"--stage={text!r}: allowed are {', '.join(STAGES)}, all")
    return [name for name in STAGES if name in names or ("all" in names and name not in ALONE)]


def check_model_is_evaluated(stages: Sequence[str], overrides: Mapping[str, str]) -> None:
    """`--model` names what is evaluated; a command that only trains would start from another model, silently.

    Raises:
        ConfigError: it is given to stages that train, without the stage eval.
    """
    model, trains = overrides.get("eval.model"), [stage for stage in stages if stage in ("sft", "rl-math", "rl-code")]
    if model and trains and "eval" not in stages:
        raise ConfigError(f"--model={model!r}: names what --stage eval evaluates, not what {', '.join(trains)} starts from; pass --model.path for the base model")


def check_packages() -> None:
    """`sandbox`, `benchmarks` and `reports` must be this project's, not another package of that name.

    Raises:
        UserError: another package shadows one of them.
    """
    import importlib.util

    home = Path(__file__).resolve().parent.parent
    for name in ("sandbox", "benchmarks", "reports"):
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin is None or origin.parent.parent != home:
            raise UserError(f"package {name!r} comes from {origin or 'nowhere'}, not from {home}: another package shadows it; use a fresh environment")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code, or ends the process where it is one of several."""
    code = _main(argv)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "torch" in sys.modules:
        _leave(code)
    return code


def _main(argv: Sequence[str] | None) -> int:
    try:
        arguments, overrides = parse(argv)
        stages = chosen_stages(arguments.stage)
        check_model_is_evaluated(stages, overrides)
        stored = arguments.run_dir / "config.toml" if arguments.run_dir else None
        profile = arguments.profile
        if "import" in stages and not profile and not (stored and stored.is_file()):
            profile = "import"
        config = load_config(profile, overrides, stored if stored and stored.is_file() else None)
        run_dir = arguments.run_dir or Path("runs") / config.profile
        check_packages()
        return _run(config, run_dir, stages, arguments.force)
    except (ConfigError, UserError) as error:
        return _fail(str(error), 2)
    except RunError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted; what was finished is kept, and the same command goes on from there", 130)
    except ModuleNotFoundError as error:
        line = missing_package(error)
        if line is None:
            raise
        return _fail(line, 2)
    except _machine_errors() as error:
        line = machine_failure(error)
        if line is None:
            raise
        return _fail(line, 1)


def _machine_errors() -> tuple[type[Exception], ...]:
    """What may come of a full disk or too little memory; safetensors has an error of its own, if it was imported at all."""
    of_safetensors = getattr(sys.modules.get("safetensors"), "SafetensorError", MemoryError)
    return (OSError, MemoryError, RuntimeError, ImportError, of_safetensors)


def _run(config: Config, run_dir: Path, stages: list[str], force: bool) -> int:
    if "eval" in stages:
        from klear_repro.names import check_names

        check_names(config)  # before the imports of models, which take seconds
    from klear_repro.pipeline import run
    from klear_repro.progress import say_warnings

    interruptible()
    say_warnings()
    interrupt = _Interrupt()
    heeded = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)]
    previous = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        run(config, run_dir, stages, force=force)
    finally:
        if not interrupt.happened:  # else the same interrupt may come again
            for number, handler in previous.items():
                signal.signal(number, handler)
    return 0


class _Interrupt:
    """Turns a signal into a KeyboardInterrupt; others that follow at once are the same one, which tox passes on as well as the terminal."""

    ONE_S = 2.0

    def __init__(self) -> None:
        self._last = -self.ONE_S

    @property
    def happened(self) -> bool:
        return self._last != -self.ONE_S

    def __call__(self, number: int, frame: Any) -> None:
        now, before = time.monotonic(), self._last
        self._last = now
        if now - before >= self.ONE_S:
            raise KeyboardInterrupt


def _fail(message: str, code: int) -> int:
    from klear_repro.progress import say

    say("klear-repro: " + " ".join(message.split()))
    return code


def _leave(code: int) -> NoReturn:
    """End one of several processes without taking the interpreter down, in which gloo's threads abort it now and then.

    «terminate called without an active exception», 1 of 14 runs with torch 2.13, after everything was done.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

