"""Problems from the Hugging Face Hub, without remote code.

The data files of a dataset repository (Parquet, JSONL, JSON, CSV) are downloaded at one commit and read
directly; no loader script is ever run.  Where the key pins no commit, the branch is resolved to one
first and that commit is named in `Problem.info`.  The content itself is pinned by the answer keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.row_files import read_rows

SUFFIXES = (".parquet", ".jsonl", ".json", ".csv")
PATTERNS = tuple(f"*{suffix}" for suffix in SUFFIXES)
NOT_DATA = ("dataset_infos.json", "dataset_info.json", "package.json")


def hub_rows(
    name: str, repo: str, revision: str, patterns: Iterable[str], local_file: str
) -> tuple[str, Iterator[tuple[str, Mapping[str, Any]]]]:
    """`repo@commit` and the rows of its data files; `patterns` may narrow them.

    Raises:
        BenchmarkError: the Hub cannot be reached, or has no such repository or revision.
    """
    source, folder = download(name, repo, revision, tuple(patterns) or PATTERNS, local_file)
    data = [file for file in sorted(folder.rglob("*")) if file.suffix in SUFFIXES]
    data = [file for file in data if file.name not in NOT_DATA]
    if not data:
        raise BenchmarkError(
            f"{name}: {source} holds no Parquet or JSON files; pass --benchmark-path FILE, or a folder with {local_file}"
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
            f" ({type(error).__name__}: {reason[:120]}); pass --benchmark-path FILE, or a folder with {local_file}"
        ) from error
    return f"{repo}@{folder.name}", folder


def _rows(data: list[Path], folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for file in data:
        for where, row in read_rows(file):
            yield f"{file.relative_to(folder)} {where}", row
