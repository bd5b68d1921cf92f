"""A report's content for other programs: tables as CSV and LaTeX, scores as `model-index` metadata of the Hub.

`model-index.yml` is the block that a model card on the Hub has in its front matter (huggingface_hub writes and reads it).
A stand-in run has none.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reports.blocks import Report, Table
from reports.cautions import part_of
from reports.load import Run
from reports.measurements import Measurement
from reports.score_figures import slug
from reports.scores import defects, scores
from reports.text import visible

NAMES = {
    "aime24": "AIME 2024", "aime25": "AIME 2025", "hmmt25": "HMMT February 2025", "aime26": "AIME 2026",
    "hmmt26": "HMMT February 2026", "gsm8k": "GSM8K", "math500": "MATH-500",
    "lcb_v5": "LiveCodeBench 2024-08-01 to 2025-02-01", "lcb_v6": "LiveCodeBench 2025-02-01 to 2025-05-01",
    "humaneval": "HumanEval",
}  # fmt: skip
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "−": "$-$", "×": r"$\times$", "≥": r"$\geq$", "≤": r"$\leq$", "ε": r"$\varepsilon$", "π": r"$\pi$", "θ": r"$\theta$",
    "–": "--", "…": r"\dots{}", "→": r"$\rightarrow$", '"': r"\textquotedbl{}", "\n": " ",
}  # fmt: skip
_FORMULA = re.compile(r"\s*[=+@-]|[\t\r\n]")
_NUMBER = re.compile(r"[+-]?\d[\d,]*(\.\d+)?( \([\w+. ,%-]*\))?( to [+-]?\d[\d.,]*)?( %)?|[+-]\d[\d.]* to [+-]?\d[\d.]*, p [<\d. ]*")


def write_tables(report: Report, folder: Path) -> None:
    """Every table of the report as `SECTION-N-CAPTION.csv` and `.tex` in `folder`."""
    folder.mkdir(parents=True)
    for name, block in _tables(report):
        (folder / f"{name}.csv").write_text(_csv(block), encoding="utf-8", newline="")
        (folder / f"{name}.tex").write_text(_tex(block), encoding="utf-8", newline="\n")


def _tables(report: Report) -> Iterator[tuple[str, Table]]:
    for section in report.sections:
        found = [block for block in section.blocks if isinstance(block, Table)]
        for number, block in enumerate(found, start=1):
            yield f"{slug(section.anchor)}-{number}-{slug(block.caption)}", block


def _csv(block: Table) -> str:
    """RFC 4180; a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\r\n")
    for row in (block.header, *([cell.text for cell in row] for row in block.rows)):
        plain = (visible(text).replace("−", "-") for text in row)
        writer.writerow([f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text for text in plain])
    return lines.getvalue()


def _tex(block: Table) -> str:
    """A `table` with booktabs rules."""
    columns = "".join("l" if place in block.text_columns else "r" for place in range(len(block.header)))
    rows = ["{}" + " & ".join(_escaped(cell.text) for cell in row) + r" \\" for row in block.rows]
    lines = [
        r"% \usepackage{booktabs}", r"\begin{table}", r"\centering", rf"\caption{{{_escaped(block.caption)}}}",
        rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(_escaped(name) for name in block.header) + r" \\", r"\midrule", *rows,
        r"\bottomrule", r"\end{tabular}", r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in visible(text))


def model_index(run: Run) -> str | None:
    """The `model-index` of every graded model as YAML; None for a stand-in or where nothing is graded."""
    if run.manifest.stand_in is not False:
        return None
    from huggingface_hub.repocard_data import eval_results_to_model_index
    from huggingface_hub.utils import yaml_dump

    entries: list[Any] = []
    for model in dict.fromkeys(one.model for one in run.measurements if one.grades):
        results = [result for one in run.measurements if one.model == model for result in _results(run, one)]
        entries += eval_results_to_model_index(visible(model), results)
    return yaml_dump({"model-index": entries}, sort_keys=False) if entries else None


def _results(run: Run, measurement: Measurement) -> Iterator[Any]:
    from huggingface_hub import EvalResult

    for grader in measurement.graders:
        found = scores(measurement, grader)
        if found is None:
            continue
        fewest, most = int(found.samples.min()), int(found.samples.max())
        arguments: dict[str, Any] = {
            "protocol": visible(measurement.protocol_name),
            "grader": visible(grader),
            "samples_per_problem": most if fewest == most else f"{fewest} to {most}",
            "problems": len(found.problem_ids),
            "ci95_same_problems": [round(value, 2) for value in found.interval],
        }
        part = part_of(run, measurement.benchmark, len(found.problem_ids))
        unfit = [*run.doubts, *([f"only {part}"] if part else []), *defects(measurement, grader)]
        if unfit:
            arguments["unfit"] = [visible(reason) for reason in unfit]
        if run.manifest.model_note:
            arguments["note"] = visible(run.manifest.model_note)
        benchmark = visible(measurement.benchmark)
        name = NAMES.get(benchmark, benchmark)
        yield EvalResult(
            task_type="text-generation", dataset_type=f"{benchmark}, {part}" if part else benchmark,
            dataset_name=f"{name}, {part}" if part else name, metric_type="accuracy", metric_name=f"avg@{most} ({visible(grader)} judge)",
            metric_value=round(found.score, 2), metric_args=arguments, verified=False,
        )  # fmt: skip
