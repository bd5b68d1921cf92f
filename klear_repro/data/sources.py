"""Training data from outside: local Parquet or JSONL files, or a data set of the Hub, read through `datasets`.

Only data is read: no script that comes with a data set is run, and pickled files are refused by their extension.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from klear_repro.errors import UserError

READERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}


def read_rows(name: str, revision: str, field: str) -> list[dict[str, Any]]:
    """All rows of a file, or of the `train` split of a Hub data set.

    Args:
        field: the configuration field that named it, for messages.

    Raises:
        UserError: no such file or data set, or it cannot be read.
    """
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(logging.CRITICAL)  # it logs what it raises, too
    path = Path(name)
    local = path.suffix in READERS or path.exists() or name.startswith((".", "/", "~"))
    if local and (path.suffix not in READERS or not path.is_file()):
        raise UserError(f"{field}={name!r}: must be a .parquet or .jsonl file that exists, or a data set of the Hub (ORG/NAME)")
    if local and not path.stat().st_size:
        raise UserError(f"{field}={name!r}: no rows there")
    try:
        if local:
            rows = datasets.load_dataset(READERS[path.suffix], data_files=str(path), split="train")
        else:
            rows = datasets.load_dataset(name, revision=revision or None, split="train")
        found: list[dict[str, Any]] = rows.to_list()
    except (ValueError, OSError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = next(iter(str(error.__cause__ or error).strip().splitlines()), type(error).__name__)[:160]
        reason = (_broken_row(path) if local and READERS[path.suffix] == "json" else "") or reason
        raise UserError(f"{field}={name!r}: cannot be read ({reason})") from None
    if not found:
        raise UserError(f"{field}={name!r}: no rows there")
    return found


def _broken_row(path: Path) -> str:
    """The first row of a JSON file that cannot be read, and why; empty where each can by itself."""
    with open(path, "rb") as file:
        start = file.read(4)
        if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in start:
            return "row 1: not UTF-8 but UTF-16 or UTF-32; save the file as UTF-8"
        if start.lstrip().startswith(b"["):
            return _broken_array(path)
        file.seek(0)
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                return f"row {number}: not UTF-8 at byte {error.start + 1}"
            except (ValueError, RecursionError) as error:
                return f"row {number}: not JSON, {error}"
            if not isinstance(row, dict):
                return f"row {number}: {type(row).__name__}, must be an object with a field for each column"
    return ""


def _broken_array(path: Path) -> str:
    """The same of a file that is one JSON array."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        return f"not a JSON array, {error}"
    wrong = [number for number, row in enumerate(rows, 1) if not isinstance(row, dict)]
    return f"row {wrong[0]}: must be an object with a field for each column" if wrong else ""


def sft_rows(name: str, revision: str = "") -> list[dict[str, Any]]:
    """Rows with `prompt` (messages) and `response`.

    A row may have `messages` whose last one is the assistant's, or `prompt` (text or messages) and `response`.

    Raises:
        UserError: a row has neither; it names the row, and the field with its value.
    """
    return [_sft_row(row, f"sft.data={name!r}: row {number + 1}") for number, row in enumerate(read_rows(name, revision, "sft.data"))]


def _sft_row(row: dict[str, Any], where: str) -> dict[str, Any]:
    from klear_repro.training.prompts import check_messages, shown

    prompt, response, field = row.get("prompt"), row.get("response"), "response"
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if row.get("messages"):
        check_messages(row["messages"], f"{where}: messages")
        *prompt, last = row["messages"]
        if last["role"] != "assistant" or not prompt:
            raise UserError(f"{where}: messages end with role={last['role']!r}, number {len(prompt) + 1}: must end with the assistant's, after at least one other")
        response, field = last["content"], f"messages[{len(prompt)}].content"
    elif prompt is None or response is None:
        raise UserError(f"{where} must have messages that end with the assistant's, or prompt and response; it has {', '.join(key for key, value in row.items() if value is not None)}")
    else:
        check_messages(prompt, f"{where}: prompt")
    if not isinstance(response, str) or not response:
        raise UserError(f"{where}: {field}={shown(response)}: must be text that is not empty")
    return {"prompt": [{"role": turn["role"], "content": turn["content"]} for turn in prompt], "response": response}


def rl_rows(name: str, revision: str, field: str) -> list[dict[str, Any]]:
    """Rows in the format of the released data: data_source, prompt, ability, reward_model.

    Raises:
        UserError: a row that is not in it; it names `field` and the row.
    """
    from klear_repro.training.prompts import check_row

    rows = read_rows(name, revision, field)
    for number, row in enumerate(rows):
        check_row(row, f"{field}={name!r}: row {number + 1}")
    return rows
