"""Attackers of the service, honest clients to put beside them, and what the server takes of memory meanwhile."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
from serving import TOKEN, Server, head, start, stop

MB = 1 << 20
RUN = {"code": "print(sum(map(int, input().split())))", "tests": [{"input": f"{n} 4\n", "expected": f"{n + 4}\n"} for n in range(5)]}


def run_with(value: bytes, size: int = 10 * MB) -> bytes:
    """A request of about so many bytes, whose argument is a list of that value."""
    repeated = b",".join([value] * (size // (len(value) + 1)))
    return b'{"code":"def f(x): return 1","tests":[{"function":"f","expected":1,"args":[[' + repeated + b"]]}]}"


BOMBS = {  # kind: (body, status, how the answer begins)
    "nested arrays": (b"[" * (10 * MB), 422, "nesting: deeper than 100 levels"),
    "nested objects": (b'{"a":' * (2 * MB), 422, "nesting: deeper than 100 levels"),
    "nested arguments": (run_with(b"[" * 2000 + b"]" * 2000), 422, "nesting: deeper than 100 levels"),
    "empty arrays": (run_with(b"[]"), 413, "values: more than 1000000 JSON values"),
    "empty objects": (run_with(b"{}"), 413, "values: more than 1000000 JSON values"),
    "small objects": (run_with(b'{"a":0}'), 413, "values: more than 1000000 JSON values"),
    "numbers": (run_with(b"1"), 413, "values: more than 1000000 JSON values"),
    "one key again and again": (b'{"code":"",' + b'"a":0,' * (10 * MB // 6) + b'"a":0}', 413, "values: more than"),
    "whole numbers of any size": (run_with(b"9" * 4301), 422, "request: Invalid JSON: number out of range"),
    "one number": (b'{"code": ' + b"9" * (10 * MB) + b"}", 422, "request: Invalid JSON: number out of range"),
    "many broken tests": (b'{"code":"","tests":[' + b"0," * 99_999 + b"0]}", 422, "tests.0: Input should be an object"),
}


def _resident(process: int) -> int:
    """Resident bytes of a process and all that descend from it."""
    tree, found = [process], 0
    while tree:
        folder = Path(f"/proc/{tree.pop()}")
        try:
            found += int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for thread in (folder / "task").iterdir():
                tree += map(int, (thread / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
    return found


class Watch:
    """The most memory that a server and its programs had, looked at five times a second."""

    def __init__(self, server: Server) -> None:
        self.most = 0
        self._process = server.process.pid
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._end.wait(0.2):
            self.most = max(self.most, _resident(self._process))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()


async def _half_open(host: str, port: int, number: int, deadline: float) -> None:
    """Opens connections that bring their head a byte a second, or nothing at all."""
    while time.monotonic() < deadline:
        try:
            reader, writer = await asyncio.open_connection(host, port)
            for byte in head("/v1/run", "X: " + "y" * 200):
                if number % 2:
                    writer.write(bytes([byte]))
                    await writer.drain()
                try:
                    if not await asyncio.wait_for(reader.read(1000), min(1, max(0.01, deadline - time.monotonic()))):
                        break
                except TimeoutError:
                    if time.monotonic() > deadline:
                        break
            writer.close()
        except OSError:
            await asyncio.sleep(0.1)


async def _slow_body(host: str, port: int, number: int, deadline: float) -> None:
    """Declares a body and sends a byte of it a second."""
    while time.monotonic() < deadline:
        try:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(head("/v1/run" if number % 2 else "/run_code", f"Content-Length: {10 * MB}"))
            while time.monotonic() < deadline:
                writer.write(b" ")
                await writer.drain()
                try:
                    if not await asyncio.wait_for(reader.read(1000), 1):
                        break
                except TimeoutError:
                    pass
            writer.close()
        except OSError:
            await asyncio.sleep(0.1)


async def _bomb(host: str, port: int, number: int, deadline: float, answers: Counter[str]) -> None:
    """Sends bombs, one after the other."""
    bombs = [raw for raw, _, _ in BOMBS.values()]
    while time.monotonic() < deadline:
        number += 1
        raw = bombs[number % len(bombs)]
        try:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(head("/v1/run" if number % 3 else "/run_code", f"Content-Length: {len(raw)}", "Connection: close"))
            writer.write(raw)
            await writer.drain()
            answers[(await reader.read()).partition(b"\r\n")[0].decode()] += 1
            writer.close()
        except OSError as error:
            answers[type(error).__name__] += 1


def _attack(url: str, half_open: int, slow: int, bombs: int, seconds: float, told: Any) -> None:
    """All of them at once, in a process of its own."""
    host, port = url.removeprefix("http://").split(":")
    deadline = time.monotonic() + seconds
    answers: Counter[str] = Counter()

    async def main() -> None:
        await asyncio.gather(
            *[_half_open(host, int(port), number, deadline) for number in range(half_open)],
            *[_slow_body(host, int(port), number, deadline) for number in range(slow)],
            *[_bomb(host, int(port), number, deadline, answers) for number in range(bombs)],
        )

    told.put("ready")
    asyncio.run(main())
    told.put(dict(answers))


async def _honest(url: str, clients: int, seconds: float) -> tuple[list[float], Counter[Any]]:
    """So many clients that each send one request after the other. Seconds of each, and what the answers were."""
    took: list[float] = []
    outcomes: Counter[Any] = Counter()
    deadline = time.monotonic() + seconds
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=aiohttp.ClientTimeout(total=30)) as session:

        async def client() -> None:
            while time.monotonic() < deadline:
                began = time.monotonic()
                try:
                    async with session.post(f"{url}/v1/run", json=RUN) as answer:
                        outcomes["right" if answer.status == 200 and (await answer.json())["passed"] else answer.status] += 1
                except (aiohttp.ClientError, TimeoutError) as error:
                    outcomes[type(error).__name__] += 1
                took.append(time.monotonic() - began)

        await asyncio.gather(*[client() for _ in range(clients)])
    return took, outcomes


def beside_attackers(half_open: int, slow: int, bombs: int, alone_s: float, seconds: float) -> tuple[float, float]:
    """Eight honest clients, first alone and then beside the others, who have the same address and token. Prints the
    figures, checks answers and memory, and returns the median seconds of a request alone and beside them.
    """
    server = start()
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    try:
        asyncio.run(_honest(server.url, 8, 1))  # what is started once is
        with Watch(server):  # which takes time too
            alone, before = asyncio.run(_honest(server.url, 8, alone_s))
        attackers = context.Process(target=_attack, args=(server.url, half_open, slow, bombs, seconds + 1, told))
        attackers.start()
        assert told.get(timeout=60) == "ready"
        time.sleep(1)  # they connect
        with Watch(server) as watch:
            beside, during = asyncio.run(_honest(server.url, 8, seconds))
        health = server.get("/healthz", None)[0]
        bombed = told.get(timeout=120)
        attackers.join(60)
    finally:
        stop(server)
    medians = statistics.median(alone), statistics.median(beside)
    print(f"\n{half_open} half-open connections, {slow} slow bodies and {bombs} bombs for {seconds:g} s: {bombed}")
    print(f"8 clients: median {1000 * medians[0]:.0f} ms alone, {1000 * medians[1]:.0f} ms beside them; slowest {max(beside):.1f} s")
    print(f"answers: {dict(before)} alone, {dict(during)} beside them; memory at most {watch.most >> 20} MiB")
    assert set(before) == set(during) == {"right"} and health == 200
    assert sum(bombed.values()) >= bombs
    assert watch.most < 1024 * MB
    return medians
