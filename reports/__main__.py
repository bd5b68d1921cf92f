"""`python -m reports RUN [RUN …]`: write the report of each run folder, and a comparison where there are several."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn


class _Parser(argparse.ArgumentParser):
    """One line for a wrong argument, exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"reports: {message} (--help lists what is allowed)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when everything was written, 1 when it could not be stored, 2 for a bad folder or file."""
    if sys.version_info < (3, 11):  # noqa: UP036 - a checkout can be started with any
        print(f"reports: Python 3.11 or later is needed, this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    parser = _Parser(
        prog="python -m reports",
        description="Write the report of each run folder, RUN/report/index.html and report.md.  Several runs are compared too: "
        "with the first, problem by problem, in OUT/index.html and comparison.md.",
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a run folder (docs/run-folder.md)")
    parser.add_argument(
        "--out", type=Path, default=Path("comparison"), metavar="DIR",
        help="folder of the comparison of several runs (default: comparison)",
    )  # fmt: skip
    parser.add_argument(
        "--published", type=Path, action="append", default=[], metavar="FILE",
        help="TOML file of published numbers beside the built-in ones (docs/reports.md); may be given several times",
    )  # fmt: skip
    parser.add_argument("--no-samples", action="store_true", help="leave the viewer of all samples out, for a small report")
    given = parser.parse_args(arguments)

    try:
        from benchmarks.errors import BenchmarkError
        from reports.load import NotARunFolder
        from reports.render import NotOurs, refuse_others, write_comparison, write_report
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "reports", "benchmarks"):
            raise
        print(
            f"reports: the package {package!r} is not installed for {sys.executable}; use the Python of the environment that the "
            "project is installed in (after a tox command .tox/core/bin/python), or pip install -e . in the checkout", file=sys.stderr,
        )  # fmt: skip
        return 2

    places = [run.resolve() for run in given.runs]
    for number, place in enumerate(places):
        if place in places[:number]:
            print(f"reports: RUN: {given.runs[number]} is given twice, a comparison is of different run folders", file=sys.stderr)
            return 2
    try:
        if len(given.runs) > 1:
            refuse_others(given.out)
        for run in given.runs:
            print(write_report(run, given.published, texts=not given.no_samples), flush=True)
        if len(given.runs) > 1:
            print(write_comparison(given.runs, given.out, given.published))
    except (NotARunFolder, NotOurs, BenchmarkError) as error:
        print(f"reports: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # of a folder `shutil` gathers one for each file: the first says it
        reason = error.args[0][0][-1] if isinstance(error, shutil.Error) else error
        print(f"reports: the report cannot be written: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
