"""Writes the report of a run: `report/report.md`, a self-contained `report/index.html` and `report/figures/`.

The page needs no network and runs no script: its content security policy allows inline style and nothing else.
In both templates every value is made visible and escaped by the environment, not by the template's author.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.contents import contents
from reports.load import load_run
from reports.text import cut, fenced, markdown, visible


def write_report(run_dir: Path) -> Path:
    """Write the report of a run folder, half-finished ones too, and return the path of `index.html`.

    The same run folder gives the same bytes.  Each file is replaced as a whole, the page last.

    Raises:
        reports.load.NotARunFolder: no folder, or nothing of a run in it.
    """
    run = load_run(run_dir)
    folder = run_dir / "report"
    fresh = folder / "figures.tmp"
    shutil.rmtree(fresh, ignore_errors=True)
    report = contents(run, fresh)
    shutil.rmtree(folder / "figures", ignore_errors=True)
    fresh.replace(folder / "figures")
    _replace(folder / "report.md", _markdown_environment().get_template("report.md.j2").render(report=report))
    _replace(folder / "index.html", _html_environment().get_template("index.html.j2").render(report=report))
    return folder / "index.html"


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
    environment.filters["block"] = lambda text, language="": Markup(fenced(visible(cut(text)), language))
    return environment
