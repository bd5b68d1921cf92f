"""The command line: what it accepts, and what it never imports before it has to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from klear_repro.config import fields
from klear_repro.run import STAGES, ConfigError, chosen_stages, main, parse

HEAVY = ("torch", "transformers", "numpy", "pandas", "pyarrow", "sympy", "datasets", "matplotlib")


def imported_by(root: Path, code: str) -> set[str]:
    """Which heavy packages a fresh interpreter has loaded after `code`, whatever way that ended."""
    shown = f"[name for name in {HEAVY!r} if name in sys.modules]"
    program = f"import sys\ntry:\n    {code}\nfinally:\n    print('loaded:', *{shown}, file=sys.__stderr__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("loaded:")]
    return set(line.split()[1:])


@pytest.mark.parametrize("words", [["--help"], ["--profile", "nothing"], ["--sft.stepz", "1"], ["--samples", "-1"]])
def test_help_and_bad_arguments_import_nothing_heavy(root: Path, words: list[str]) -> None:
    assert imported_by(root, f"from klear_repro.run import main; sys.exit(main({words!r}))") == set()


def test_sandbox_and_benchmarks_import_nothing_heavy(root: Path) -> None:
    assert imported_by(root, "import sandbox, benchmarks, klear_repro.config") == set()


def test_help_shows_every_field_with_its_default(root: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "klear_repro.run", "--help"], cwd=root, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for section, name, _ in fields():
        assert f"--{section}.{name} " in done.stdout
    flags = "stage profile run-dir model engine benchmark benchmark-path protocol samples limit resume force"
    for flag in (f"--{name}" for name in flags.split()):
        assert f"{flag} " in done.stdout or f"{flag}\n" in done.stdout


def test_stages_are_run_in_the_order_of_the_pipeline() -> None:
    assert chosen_stages("all") == [stage for stage in STAGES if stage != "import"]
    assert chosen_stages("all,import") == list(STAGES)
    assert chosen_stages("report, eval") == ["eval", "report"]
    assert chosen_stages("sft,sft") == ["sft"]
    assert chosen_stages("data,all") == chosen_stages("all")
    for wrong in ("", ",", "train", "eval,plan"):
        with pytest.raises(ConfigError):
            chosen_stages(wrong)


def test_short_flags_and_dotted_fields_are_the_same_fields() -> None:
    _, overrides = parse(["--model", "m", "--samples", "3", "--benchmark", "aime24,aime25", "--rl-math.eps-low=0.1", "--sft.lr", "1e-3"])
    assert overrides == {
        "eval.model": "m",
        "eval.samples": "3",
        "eval.benchmarks": "aime24,aime25",
        "rl_math.eps_low": "0.1",
        "sft.lr": "1e-3",
    }


@pytest.mark.parametrize("words", [["--nothing"], ["stray"], ["--samples"], ["--resume", "--force"], ["--sampl", "3"]])
def test_a_wrong_argument_is_one_line_and_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leave:
        main(words)
    assert leave.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("klear-repro: ")


@pytest.mark.parametrize(
    "words", [["--profile", "nothing"], ["--sft.stepz", "1"], ["--samples", "-1"], ["--stage", "train"], ["--limit", "two\nlines"]]
)
def test_a_wrong_configuration_is_one_line_and_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("klear-repro: ")
