"""Training data from outside: local Parquet or JSONL files, or a data set of the Hub (read through `datasets`).

Only data is read: no script that comes with a data set is run, and pickled files are refused by their extension.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from klear_repro.errors import UserError
from klear_repro.progress import say

REASONS = 3
"""Skipped rows whose reasons are said."""
OF_ROWS = ("reasoning_content", "thinking")
"""Columns beside `response` that hold its thinking; a column `reasoning` may be anything."""
READERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}


@dataclass(frozen=True)
class Broken:
    """A row of a JSON file that cannot be read, and why."""

    reason: str


def read_rows(name: str, revision: str, field: str) -> Sequence[dict[str, Any] | Broken]:
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
        if local and READERS[path.suffix] == "json":
            found: Sequence[dict[str, Any] | Broken] = _json_rows(path)
        elif local:
            found = datasets.load_dataset("parquet", data_files=str(path), split="train").to_list()
        else:
            found = datasets.load_dataset(name, revision=revision or None, split="train").to_list()
    except (ValueError, OSError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = next(iter(str(error.__cause__ or error).strip().splitlines()), type(error).__name__)[:160]
        raise UserError(f"{field}={name!r}: cannot be read ({reason})") from None
    if not found:
        raise UserError(f"{field}={name!r}: no rows there")
    return found


def _json_rows(path: Path) -> list[dict[str, Any] | Broken]:
    """The objects of a file, one a line or in one array, as they stand there: `datasets` makes numbers of texts where a column has both.

    Raises:
        ValueError: no row can be read, and why.
    """
    with open(path, "rb") as file:
        start = file.read(4)
        if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in start:
            raise ValueError("row 1: not UTF-8 but UTF-16 or UTF-32; save the file as UTF-8")
        if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
            return _array(path)
        file.seek(0)
        return [_json_row(line, number) for number, line in enumerate(file, 1) if line.strip()]


def _json_row(line: bytes, number: int) -> dict[str, Any] | Broken:
    try:
        return _object(json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8")))
    except UnicodeDecodeError as error:
        return Broken(f"not UTF-8 at byte {error.start + 1}")
    except (ValueError, RecursionError) as error:
        return Broken(f"not JSON, {error}")


def _object(row: Any) -> dict[str, Any] | Broken:
    return row if isinstance(row, dict) else Broken(f"{type(row).__name__}, must be an object with a field for each column")


def _array(path: Path) -> list[dict[str, Any] | Broken]:
    """The same of a file that is one JSON array."""
    try:
        return [_object(row) for row in json.loads(path.read_text(encoding="utf-8-sig"))]
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a JSON array, {error}") from None


def sft_rows(name: str, revision: str = "", max_skipped: float = 0.0) -> list[dict[str, Any]]:
    """Rows with `prompt` (messages), `response` and `reasoning` (text, perhaps empty); those without are skipped, and it is said how many.

    A row may have `messages` whose last one is the assistant's, or `prompt` (text or messages) and `response`.  The thinking may stand
    beside a message's content, under one of the names `REASONING`, or beside the response, as `reasoning_content` or `thinking`.

    Raises:
        UserError: more than that share of the rows was skipped, or all; it names rows, fields and values.
    """
    return usable_rows(read_rows(name, revision, "sft.data"), _sft_row, f"sft.data={name!r}", max_skipped).rows


@dataclass(frozen=True)
class Usable:
    """The rows of a set that can be trained on, and how many cannot."""

    rows: list[dict[str, Any]]
    skipped: int = 0


def usable_rows(rows: Sequence[dict[str, Any] | Broken], read: Callable[[dict[str, Any], str], dict[str, Any]], where: str, max_skipped: float) -> Usable:
    """What `read` makes of the rows; broken ones and those for which it raises UserError are skipped, and it is said how many and why.

    Raises:
        UserError: more than the share `max_skipped` was skipped, or all.
    """
    found, reasons = [], []
    for number, row in enumerate(rows, 1):
        if isinstance(row, Broken):
            reasons.append(f"row {number}: cannot be read ({row.reason})")
            continue
        try:
            found.append(read(row, f"row {number}"))
        except UserError as error:
            reasons.append(str(error))
    if reasons:
        first = "; ".join(reasons[:REASONS]) + ("; …" if len(reasons) > REASONS else "")
        if not found or len(reasons) > max_skipped * len(rows):
            section = where.partition(".")[0]
            raise UserError(f"{where}: {first} ({len(reasons):,} of {len(rows):,} rows cannot be used, {section}.max_skipped={max_skipped:g} allows {int(max_skipped * len(rows)):,})")
        say(f"{where}: {len(reasons):,} of {len(rows):,} rows cannot be used and are skipped: {first}")
    return Usable(found, len(reasons))


def _sft_row(row: dict[str, Any], where: str) -> dict[str, Any]:
    from klear_repro.engines.chat_format import REASONING
    from klear_repro.training.prompts import check_messages, shown

    holder, place = row, f"{where}: "
    prompt, response, field = row.get("prompt"), row.get("response"), "response"
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if row.get("messages"):
        check_messages(row["messages"], f"{where}: messages")
        *prompt, last = row["messages"]
        if last["role"] != "assistant" or not prompt:
            raise UserError(f"{where}: messages end with role={last['role']!r}, number {len(prompt) + 1}: must end with the assistant's, after at least one other")
        response, field = last["content"], f"messages[{len(prompt)}].content"
        holder, place = last, f"{where}: messages[{len(prompt)}]."
    elif prompt is None or response is None:
        raise UserError(f"{where} must have messages that end with the assistant's, or prompt and response; it has {', '.join(key for key, value in row.items() if value is not None)}")
    else:
        check_messages(prompt, f"{where}: prompt")
    if not isinstance(response, str) or not response:
        raise UserError(f"{where}: {field}={shown(response)}: must be text that is not empty")
    turns = []
    for number, turn in enumerate(prompt):
        thought = _reasoning(turn, REASONING, f"{where}: {'messages' if row.get('messages') else 'prompt'}[{number}].")
        turns.append({"role": turn["role"], "content": turn["content"], **({thought[0]: thought[1]} if thought else {})})
    own = _reasoning(holder, REASONING if holder is not row else OF_ROWS, place)
    return {"prompt": turns, "response": response, "reasoning": own[1] if own else ""}


def _reasoning(holder: dict[str, Any], names: Sequence[str], where: str) -> tuple[str, str] | None:
    """(field, text) of the thinking that stands beside a content; true or false only says whether there is one."""
    from klear_repro.training.prompts import shown

    for name in names:
        text = holder.get(name)
        if text is not None and not isinstance(text, (str, bool)):
            raise UserError(f"{where}{name}={shown(text)}: must be text")
        if isinstance(text, str) and text:
            return name, text
    return None


def rl_rows(name: str, revision: str, field: str, max_skipped: float = 0.0) -> Usable:
    """Rows in the format of the released data: data_source, prompt, ability, reward_model.  Those that are not are skipped.

    Raises:
        UserError: more than that share of the rows was skipped, or all; it names `field`, rows and values.
    """
    from klear_repro.training.prompts import check_row

    def read(row: dict[str, Any], where: str) -> dict[str, Any]:
        check_row(row, where)
        return row

    return usable_rows(read_rows(name, revision, field), read, f"{field}={name!r}", max_skipped)
