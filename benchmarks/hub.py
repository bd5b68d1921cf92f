"""Problems from the Hugging Face Hub, without remote code.

The data files of a dataset repository (Parquet, JSONL, JSON) are downloaded at one commit and read
directly; no loader script is ever run.  Where the key pins no commit, the branch is resolved to one
first and that commit is named in `Problem.info`.  The content itself is pinned by the answer keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.records import BrokenRow, read_jsonl

PATTERNS = ("*.parquet", "*.jsonl", "*.json")
NOT_DATA = ("dataset_infos.json", "dataset_info.json", "package.json")


def hub_rows(
    name: str, repo: str, revision: str, patterns: Iterable[str], local_file: str
) -> tuple[str, Iterator[tuple[str, Mapping[str, Any]]]]:
    """`repo@commit` and the rows of its data files; `patterns` may narrow them.

    Raises:
        BenchmarkError: the Hub cannot be reached, or has no such repository or revision.
    """
    source, folder = download(name, repo, revision, tuple(patterns) or PATTERNS, local_file)
    data = [file for file in sorted(folder.rglob("*")) if file.suffix in (".parquet", ".jsonl", ".json")]
    data = [file for file in data if file.name not in NOT_DATA]
    if not data:
        raise BenchmarkError(
            f"{name}: {source} holds no Parquet or JSON files; pass --benchmark-path FOLDER with {local_file}"
        )
    return source, _rows(data, folder)


def download(name: str, repo: str, revision: str, patterns: Iterable[str], local_file: str) -> tuple[str, Path]:
    """`repo@commit` and the folder that the matching files of a data set are in.

    Raises:
        BenchmarkError: the Hub cannot be reached, or has no such repository or revision; `local_file` is then what
            to pass instead.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    transport_error: Any = HfHubHTTPError.__bases__[
        0
    ]  # of httpx or requests, whichever the client is built on
    try:
        folder = Path(
            snapshot_download(
                repo,
                repo_type="dataset",
                revision=revision,
                allow_patterns=list(patterns),
                etag_timeout=10,
            )
        )
    except (HfHubHTTPError, transport_error, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BenchmarkError(
            f"{name}: cannot get {repo}@{revision} from the Hub"
            f" ({type(error).__name__}: {reason[:120]}); pass --benchmark-path FOLDER with {local_file}"
        ) from error
    return f"{repo}@{folder.name}", folder


def _rows(data: list[Path], folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for file in data:
        name = file.relative_to(folder)
        for number, row in _file_rows(file):
            yield f"{name} row {number}", row


def _file_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if file.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            rows = pq.read_table(file).to_pylist()
        except pa.ArrowException as error:
            raise BrokenRow(f"{file.name}: not a Parquet file ({str(error)[:80]})") from error
        yield from enumerate(rows, start=1)
    elif file.suffix == ".jsonl":
        yield from read_jsonl(file)
    else:
        text = file.read_text(encoding="utf-8")
        try:
            rows = json.loads(text)
        except RecursionError as error:
            raise BrokenRow(f"{file.name}: nested too deeply") from error
        except json.JSONDecodeError:
            yield from read_jsonl(file)
            return
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise BrokenRow(f"{file.name}: expected a list of objects")
        yield from enumerate(rows, start=1)
