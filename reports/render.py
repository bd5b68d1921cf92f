"""Writes the report of a run: `report/report.md`, `report/index.html` with `assets/` and `samples/`, and `report/figures/`.

The page needs no network: its content security policy allows the scripts, styles and fonts that lie beside it and nothing
else, and no script may make HTML from a text (trusted types).  Without the scripts all but the sample viewer is there.
In both templates every value is made visible and escaped by the environment, not by the template's author.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.blocks import Report
from reports.canvas import Canvas
from reports.contents import contents
from reports.exports import model_index, write_tables
from reports.load import load_run
from reports.many import many_contents
from reports.text import cut, fenced, markdown, visible
from reports.viewer import Viewed, write_samples

ASSETS = Path(__file__).parent / "assets"
PARTS = ("samples", "figures", "assets", "tables")
COMPARISON = "comparison.md"


class NotOurs(ValueError):
    """A comparison would overwrite something else.  One line."""


def write_report(run_dir: Path, published: Sequence[Path] = (), *, texts: bool = True) -> Path:
    """Write the report of a run folder, half-finished ones too, and return the path of `index.html`.

    The same run folder gives the same bytes.  Everything is made beside the old report first, the page is replaced last.

    Args:
        run_dir: the run folder.
        published: files of published numbers beside the built-in ones (`benchmarks.published.load_published`).
        texts: whether the page has the viewer of all samples, for which their texts are copied (compressed).

    Raises:
        reports.load.NotARunFolder: no folder, or nothing of a run in it.
        benchmarks.errors.BenchmarkError: a file of published numbers is wrong.
    """
    run = load_run(run_dir, published)
    folder = run_dir / "report"
    fresh = _fresh(folder)
    viewed = write_samples(run, fresh / "samples") if texts else Viewed(0, 0)
    report = contents(run, fresh / "figures", viewed)
    _finish(report, folder, fresh, "report.md")
    index = model_index(run)
    if index is None:
        (folder / "model-index.yml").unlink(missing_ok=True)
    else:
        _replace(folder / "model-index.yml", index)
    return folder / "index.html"


def write_comparison(run_dirs: Sequence[Path], folder: Path, published: Sequence[Path] = ()) -> Path:
    """Write the comparison of several run folders into `folder` and return the path of its `index.html`.

    Raises:
        NotOurs: something else would be overwritten; nothing is written.
        reports.load.NotARunFolder: one of them is no run folder.
        benchmarks.errors.BenchmarkError: a file of published numbers is wrong.
    """
    refuse_others(folder)
    runs = [load_run(path, published) for path in run_dirs]
    fresh = _fresh(folder)
    _finish(many_contents(runs, folder, Canvas(fresh / "figures")), folder, fresh, COMPARISON)
    return folder / "index.html"


def refuse_others(folder: Path) -> None:
    """Nothing but a comparison from before is overwritten.

    Raises:
        NotOurs: the folder is a file, or what would be written is there and is no comparison.
    """
    if folder.exists() and not folder.is_dir():
        raise NotOurs(f"--out={str(folder)!r}: is a file; allowed is a folder")
    taken = [name for name in (*PARTS, "tmp", "index.html") if os.path.lexists(folder / name)]
    if taken and not (folder / COMPARISON).is_file():
        there = ", ".join(taken)
        raise NotOurs(f"--out={str(folder)!r}: {there} there would be overwritten; allowed is a folder without, or an earlier comparison")


def _fresh(folder: Path) -> Path:
    """An empty folder for what is being made."""
    fresh = folder / "tmp"
    _remove(fresh)
    fresh.mkdir(parents=True)
    return fresh


def _finish(report: Report, folder: Path, fresh: Path, markdown_name: str) -> None:
    """Tables, assets and both documents; what was made takes the place of what is there."""
    write_tables(report, fresh / "tables")
    unused = () if report.has_viewer else ("vendor", "viewer.js", "text.js")
    shutil.copytree(ASSETS, fresh / "assets", ignore=shutil.ignore_patterns(*unused))
    for part in PARTS:
        _remove(folder / part)
        if (fresh / part).exists():
            (fresh / part).replace(folder / part)
    fresh.rmdir()
    _replace(folder / markdown_name, _markdown_environment().get_template("report.md.j2").render(report=report))
    _replace(folder / "index.html", _html_environment().get_template("index.html.j2").render(report=report))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    temporary.replace(path)


def _environment(**options: Any) -> Environment:
    return Environment(
        loader=PackageLoader("reports"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, **options,
    )  # fmt: skip


def _html_environment() -> Environment:
    def shown(value: object) -> object:
        return value if isinstance(value, Markup) else visible(str(value))

    environment = _environment(autoescape=True, finalize=shown)
    environment.filters["cut"] = cut
    environment.filters["drawing"] = Markup
    return environment


def _markdown_environment() -> Environment:
    def shown(value: object) -> str:
        return str(value) if isinstance(value, Markup) else markdown(str(value))

    environment = _environment(autoescape=False, finalize=shown)
    environment.filters["address"] = Markup
    environment.filters["alt"] = lambda text: Markup(markdown(str(text), links=False))
    environment.filters["block"] = lambda text, language="": Markup(fenced(visible(cut(text)), language))
    return environment
