"""The command line of `python -m sandbox.server`, and the settings that it gives."""

from __future__ import annotations

import argparse
import ipaddress
import math
import os
import resource
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ..model import TIERS
from .reading import VALUE_BYTES

TOKEN_VARIABLE = "KLEAR_SANDBOX_TOKEN"
_SPARE_CONNECTIONS = 64  # for /healthz and for those that are refused, when the queue is full
_OWN_FILES = 64
_WORKER_FILES = 32  # pipes, sockets and memory files of a worker
_FIELD_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


@dataclass(frozen=True)
class Settings:
    """What a server is started with. `token` None lets everybody in, which is for loopback alone."""

    token: str | None
    workers: int = 2
    tier: str = "auto"
    queue: int = 1024
    connections: int = 4096
    request_mb: int = 64
    values: int = 1_000_000
    held_mb: int = 512
    most_seconds: float = 60
    memory_mb: int = 1024
    output_mb: int = 32
    client_header: str | None = None


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a whole number from {low} to {high}")
        return int(text)

    return parse


def _header(text: str) -> str:
    if not text or not _FIELD_NAME.issuperset(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; the name of a header, such as X-Forwarded-For")
    return text.lower()


class _Parser(argparse.ArgumentParser):
    """One line for a wrong argument, exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"sandbox.server: {message} (--help lists what is allowed)\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = _Parser(
        prog="python -m sandbox.server", description="Runs untrusted Python programs for clients on this machine.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    add = made.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; others than loopback need a proxy with TLS")
    add("--port", type=_whole(0, 65535), default=8080, help="0 takes a free one")
    add("--workers", type=_whole(1, 1024), default=os.cpu_count() or 2, help="programs that run at a time")
    add("--tier", choices=("auto", *TIERS), default="auto", help="isolation; auto is the strongest there is")
    add("--queue", type=_whole(1, 1_000_000), default=1024, help="requests that may wait or run, 64 fewer than connections; more get 429")
    add("--connections", type=_whole(1, 1_000_000), default=4096, help="open connections, or fewer if `ulimit -Hn` is small")
    add("--request-mb", type=_whole(1, 1024), default=64, help="MiB of a request; more gets 413")
    add("--values", type=_whole(1, 1_000_000_000), default=1_000_000, help="JSON values in a request; more get 413")
    add("--held-mb", type=_whole(1, 1 << 20), default=512, help="MiB of memory for all requests that are held; more get 429")
    add("--max-seconds", type=_whole(1, 3600), default=60, help="CPU and wall seconds that a test may ask for")
    add("--memory-mb", type=_whole(16, 1 << 20), default=1024, help="MiB of memory that a test may ask for")
    add("--output-mb", type=_whole(1, 1024), default=32, help="MiB of standard output that a test may ask for")
    add("--client-header", type=_header, help="header of a trusted proxy whose last value is the client; else its address is")
    add("--token-file", type=Path, help=f"file with the token; else ${TOKEN_VARIABLE}, else a new one, printed")
    add("--no-token", action="store_true", help="let every local process in; on loopback only")
    return made


def settings(arguments: argparse.Namespace) -> Settings:
    """The settings of a command line. Raises ValueError that names the option."""
    largest = arguments.request_mb + math.ceil(arguments.values * VALUE_BYTES / (1 << 20))
    if arguments.held_mb < largest:
        raise ValueError(f"--held-mb {arguments.held_mb}: not allowed with this --request-mb and --values; at least {largest}")
    spare = arguments.connections - _SPARE_CONNECTIONS
    if arguments.queue > spare:
        raise ValueError(f"--queue {arguments.queue}: not allowed with --connections {arguments.connections}; at most {max(0, spare)}")
    connections = _connections(arguments)
    return Settings(
        token=_token(arguments), workers=arguments.workers, tier=arguments.tier,
        queue=min(arguments.queue, connections - _SPARE_CONNECTIONS), connections=connections,
        request_mb=arguments.request_mb, values=arguments.values, held_mb=arguments.held_mb,
        most_seconds=arguments.max_seconds, memory_mb=arguments.memory_mb, output_mb=arguments.output_mb,
        client_header=arguments.client_header,
    )  # fmt: skip


def _connections(arguments: argparse.Namespace) -> int:
    """How many there may be, once this process may open as many files as it needs for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    own = _OWN_FILES + _WORKER_FILES * arguments.workers
    asked: int = arguments.connections
    most = asked if hard == resource.RLIM_INFINITY else min(asked, hard - own)
    if most <= _SPARE_CONNECTIONS:
        least = own + _SPARE_CONNECTIONS + 1
        raise ValueError(f"--workers {arguments.workers}: not allowed with {hard} open files (`ulimit -Hn`); at least {least} files")
    if soft != resource.RLIM_INFINITY and soft < most + own:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most + own, hard))
    return most


def _token(arguments: argparse.Namespace) -> str | None:
    """The token in use. Raises ValueError for one that cannot be, and for none where there must be one."""
    if arguments.no_token:
        if not _is_loopback(arguments.host):
            raise ValueError(f"--no-token: not allowed with --host {arguments.host}; a loopback address")
        return None
    token = os.environ.get(TOKEN_VARIABLE, "")
    source = f"${TOKEN_VARIABLE}"
    if arguments.token_file is not None:
        source = f"--token-file {arguments.token_file}"
        try:
            token = arguments.token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{source}: {error}") from error
    elif not token:
        return secrets.token_urlsafe(24)
    if len(token) < 16 or not all(c.isalnum() or c in "-_.~" for c in token) or not token.isascii():
        raise ValueError(f"{source}: not allowed; at least 16 letters, digits or -_.~")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
