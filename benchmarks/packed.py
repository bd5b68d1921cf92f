"""The bytes of an output file as UTF-8 text, whether it is plain, or packed as gzip, zstd or zip; also the members of a zip that are zstd.

Python reads zstd in zip files from 3.14 on; inspect_ai's logs are packed so.  No name in an archive is used as a path.
"""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard

from benchmarks.errors import BenchmarkError

GZIP, ZSTD, ZIP, PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK", b"PAR1"
"""How files begin."""
OTHER_PACKERS = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR"}
LARGEST_WINDOW = 1 << 27
"""Bytes that unpacking zstd may look back, and so hold; what its own program takes without being told."""
CHUNK = 1 << 16
ZSTD_CHUNK = 1 << 10
"""Bytes that are unpacked at a time: at most 32 MiB come of them (a block of 4 bytes may stand for 128 KiB)."""
_ZSTD_METHOD = 93
_LOCAL_HEAD = struct.Struct("<4s22xHH")
"""Of a member of a zip (APPNOTE 4.3.7): signature, lengths of name and extra field."""
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, UnicodeDecodeError, EOFError, OSError, NotImplementedError, RuntimeError,
    zstandard.ZstdError,
)  # fmt: skip
"""What is raised for an archive that is none."""


def starts(path: Path) -> bytes:
    """The first eight bytes of a file."""
    with open(path, "rb") as data:
        return data.read(8)


@contextmanager
def archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip that is open.

    Raises:
        BenchmarkError: it cannot be read, or what is done with it cannot.
    """
    try:
        with zipfile.ZipFile(path) as opened:
            yield opened
    except BenchmarkError:
        raise
    except _UNREADABLE as error:
        raise BenchmarkError(f"{path.name}: not a zip file that can be read ({str(error)[:80]})") from error


@contextmanager
def member(opened: zipfile.ZipFile, path: Path, name: str) -> Iterator[BinaryIO]:
    """The bytes of a member of the zip at `path`."""
    info = opened.getinfo(name)
    if info.compress_type != _ZSTD_METHOD or hasattr(zipfile, "ZIP_ZSTANDARD"):
        with opened.open(info) as data:
            yield cast(BinaryIO, data)
        return
    if info.flag_bits & 1:
        raise RuntimeError(f"{name[:80]!r} is encrypted")
    with open(path, "rb") as raw:
        raw.seek(info.header_offset)
        signature, of_name, of_extra = _LOCAL_HEAD.unpack(raw.read(_LOCAL_HEAD.size))
        if signature != b"PK\x03\x04":
            raise zipfile.BadZipFile(f"{name[:80]!r} is not where the list says")
        raw.seek(of_name + of_extra, io.SEEK_CUR)
        yield io.BufferedReader(_Unzstd(io.BufferedReader(_Part(raw, info.compress_size), CHUNK)), CHUNK)


@contextmanager
def text(path: Path, name: str, inside: str = "") -> Iterator[BinaryIO]:
    """The bytes of a file, or of the member `inside` of a zip, as UTF-8 without a byte-order mark.

    Args:
        name: what messages call it.

    Raises:
        BenchmarkError: it is packed in a way that is not read, or damaged.
    """
    start = starts(path)
    if inside:
        with archive(path) as opened, member(opened, path, inside) as data:
            yield _decoded(data)
    elif start.startswith((GZIP, ZSTD)):
        packer = "gzip" if start.startswith(GZIP) else "zstd"
        try:
            with open(path, "rb") as raw:
                yield _decoded(gzip.GzipFile(fileobj=raw) if packer == "gzip" else _Unzstd(raw))
        except BenchmarkError:
            raise
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            raise BenchmarkError(f"{name}: not a {packer} file that can be read ({str(error)[:80]})") from error
    elif packer := next((name for magic, name in OTHER_PACKERS.items() if start.startswith(magic)), ""):
        raise BenchmarkError(f"{name}: packed with {packer}, which is not read; unpack it, or pack it as .gz, .zst or .zip")
    else:
        with open(path, "rb") as data:
            yield _decoded(data)


class _Unzstd(io.RawIOBase):
    """What is packed in the frames of a zstd file (RFC 8878); one that ends within a frame is an error, not an end."""

    def __init__(self, data: BinaryIO) -> None:
        self._data, self._packed, self._rest = data, b"", b""
        self._frame = self._new()
        self._begun = False

    @staticmethod
    def _new() -> Any:
        return zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW).decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._rest:
            chunk = self._packed or self._data.read(ZSTD_CHUNK)
            if not chunk and self._begun:
                raise EOFError("it ends before its end")
            if not chunk:
                return 0
            self._rest, self._packed, self._begun = self._frame.decompress(chunk), b"", True
            if self._frame.eof:
                self._packed, self._frame, self._begun = self._frame.unused_data, self._new(), False
        taken, self._rest = self._rest[: len(target)], self._rest[len(target) :]
        target[: len(taken)] = taken
        return len(taken)


class _Part(io.RawIOBase):
    """The next so many bytes of a file."""

    def __init__(self, data: BinaryIO, size: int) -> None:
        self._data, self._left = data, size

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        chunk = self._data.read(min(len(target), self._left))
        self._left -= len(chunk)
        target[: len(chunk)] = chunk
        return len(chunk)


def _decoded(data: Any) -> BinaryIO:
    buffered = io.BufferedReader(data, CHUNK)
    start = buffered.peek(4)[:4]
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return io.BufferedReader(_Recoded(buffered), CHUNK)
    if start.startswith(codecs.BOM_UTF8):
        buffered.read(3)
    return buffered


class _Recoded(io.RawIOBase):
    """UTF-16 as UTF-8."""

    def __init__(self, data: BinaryIO) -> None:
        self._data, self._rest = data, b""
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._rest:
            chunk = self._data.read(CHUNK)
            self._rest = self._decoder.decode(chunk, not chunk).encode()
            if not chunk and not self._rest:
                return 0
        taken, self._rest = self._rest[: len(target)], self._rest[len(target) :]
        target[: len(taken)] = taken
        return len(taken)
