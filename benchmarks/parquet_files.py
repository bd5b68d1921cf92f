"""Rows of a Parquet file, bounded: a value that stands in it once and is meant thousands of times makes gigabytes of a few kilobytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.records import BrokenRow

LONGEST_ROW = 1 << 26
"""Characters of a row; more is not a row."""
BATCH = 16


def parquet_rows(file: Path, most: int, columns: Callable[[Any], list[str]] | None = None) -> Iterator[dict[str, Any] | None]:
    """Every row; None for one that is longer than LONGEST_ROW.

    Args:
        most: characters of all rows together.
        columns: picks columns of the Arrow schema; None: all.

    Raises:
        BrokenRow: it is no Parquet file, or damaged.
        BenchmarkError: there is more text than `most`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    total = 0
    try:
        schema = pq.read_metadata(file).schema
        leaves = [schema.column(index) for index in range(len(schema))]
        texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]  # a text that is repeated is in memory once
        opened = pq.ParquetFile(file, read_dictionary=texts)
        for batch in opened.iter_batches(BATCH, columns=columns(opened.schema_arrow) if columns else None):
            for index in range(batch.num_rows):
                (row,) = batch.slice(index, 1).to_pylist()
                size = _characters(row)
                total += size
                if total > most:
                    raise BenchmarkError(f"{file.name}: more than {most >> 30} GiB of text; split the file")
                yield row if size <= LONGEST_ROW else None
    except (pa.ArrowException, OSError) as error:
        raise BrokenRow(f"{file.name}: not a Parquet file that can be read ({str(error)[:80]})") from error


def _characters(value: object) -> int:
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list) else 0
