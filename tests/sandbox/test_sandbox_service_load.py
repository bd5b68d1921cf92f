"""The service among clients that are slow, greedy or hostile: what they cost it, and what they cost the others."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from itertools import pairwise
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

import aiohttp
import uvicorn
from attackers import BOMBS, MB, RUN, Watch, beside_attackers, run_with
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import TOKEN, Server, head, start, stop

from sandbox.service import reading
from sandbox.service.connections import Connections, protocol
from sandbox.service.turns import Busy, Turns

HOLD_S = float(os.environ.get("KLEAR_SERVICE_S", "60"))


@pytest.fixture(scope="module")
def server():
    made = start()
    yield made
    stop(made)


def _closed(connection: socket.socket, seconds: float) -> bool:
    """Whether the server ends a connection within so many seconds; what it sends is read."""
    connection.settimeout(0.1)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if not connection.recv(65536):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


def _answer(connection: socket.socket) -> bytes:
    """One whole answer, head and body."""
    got = b""
    while b"\r\n\r\n" not in got or len(got.partition(b"\r\n\r\n")[2]) < int(got.lower().partition(b"content-length:")[2].split()[0]):
        piece = connection.recv(65536)
        assert piece, got
        got += piece
    return got


def _metric(server: Server, name: str) -> float:
    lines = server.get("/metrics")[1].splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)


# What a request may hold


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_in_one_line_within_seconds_and_takes_little_memory(server, kind):
    raw, status, said = BOMBS[kind]
    began = time.monotonic()
    with Watch(server) as watch:
        answer = server.post("/v1/run", None, raw=raw)
    assert answer[0] == status and answer[1]["detail"].startswith(said), answer
    assert time.monotonic() - began < 10 and watch.most < 400 * MB


def test_the_largest_request_that_is_taken_fits_into_memory_and_delays_no_other(server):
    raw = run_with(b'{"a":0}', 333_000 * 8)
    done: list[Any] = []
    sender = threading.Thread(target=lambda: done.append(server.post("/v1/run", None, raw=raw)))
    with Watch(server) as watch:
        sender.start()
        slowest = 0.0
        while sender.is_alive():
            began = time.monotonic()
            assert server.get("/healthz", None)[0] == 200
            slowest = max(slowest, time.monotonic() - began)
        sender.join()
    assert done[0][0] == 200 and done[0][1]["passed"], done
    assert watch.most < 700 * MB and slowest < 2


def test_text_is_not_counted_as_values(server):
    test = {"input": '[{"a": 1}, "\\"\\\\"],' * 100_000, "expected": ""}
    assert server.post("/v1/run", {"code": "input()", "tests": [test]})[1]["passed"]


def test_the_bounds_are_options():
    server = start("--values", "10", "--request-mb", "1")
    try:
        said = "values: more than 10 JSON values in a request are not allowed on this server"
        assert server.post("/v1/run", {"code": "", "tests": [RUN["tests"][0]] * 5}) == (413, {"detail": said})
    finally:
        stop(server)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text('[]{},:"\\ab\n é'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{},:"\\a', max_size=4), inner, max_size=4),
    max_leaves=30,
)


def _values_and_depth(value: Any) -> tuple[int, int]:
    if isinstance(value, dict):
        inner = [*map(_values_and_depth, value.values()), *((1, 0) for _ in value)]
    elif isinstance(value, list):
        inner = list(map(_values_and_depth, value))
    else:
        return 1, 0
    return 1 + sum(count for count, _ in inner), 1 + max((depth for _, depth in inner), default=0)


@given(value=JSON, cuts=st.lists(st.integers(0, 200), max_size=6), ascii_only=st.booleans())
@settings(deadline=None, max_examples=200)
def test_values_and_nesting_are_counted_whatever_the_pieces(value, cuts, ascii_only):
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    values, depth = _values_and_depth(value)
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]

    def feed(nested: int) -> int:
        shape = reading.Shape(10**9)
        for piece in (b"[" * nested, *(raw[a:b] for a, b in pairwise(places)), b"]" * nested):
            shape.feed(piece)
        return shape.values

    counted = feed(reading.DEEPEST - depth) - (reading.DEEPEST - depth)
    assert values - 1 <= counted <= 2 * values
    with pytest.raises(reading.Refused, match="nesting"):
        feed(reading.DEEPEST - depth + 1)


def test_a_compressed_body_is_refused_by_name(server):
    with server.connect() as connection:
        connection.sendall(head("/v1/run", "Content-Encoding: gzip", "Content-Length: 4") + b"\x1f\x8b\x08\x00")
        answer = _answer(connection)
    assert answer.startswith(b"HTTP/1.1 415 ") and b"Content-Encoding: 'gzip' is not allowed; identity" in answer


def test_chunks_of_a_byte_are_refused(server):
    with server.connect() as connection:
        connection.sendall(head("/v1/run", "Transfer-Encoding: chunked") + b"1\r\n \r\n" * 5000)
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


def test_what_all_requests_hold_is_bounded_and_the_client_that_holds_most_gives_way():
    held = reading.Held(1000)
    bodies = [held.begin(client) for client in ("a", "a", "b")]
    held.grow(bodies[0], b"x" * 500, 0)
    held.grow(bodies[1], b"x" * 400, 0)
    held.grow(bodies[2], b"x" * 300, 0)
    assert [body.dropped for body in bodies] == [True, False, False] and held.total == 700
    with pytest.raises(Busy, match="memory: the requests that wait hold 0 MiB already"):
        held.grow(bodies[0], b"x", 0)
    bodies[1].running = True
    with pytest.raises(Busy):
        held.grow(bodies[2], b"x" * 400, 0)
    for body in bodies:
        held.end(body)
    assert held.total == 0


def test_memory_for_requests_ends_with_429():
    small = start("--request-mb", "4", "--values", "5000", "--held-mb", "5", "--workers", "1")
    big = head("/v1/run", f"Content-Length: {4 * MB}") + b'{"code":"' + b"x" * (3 * MB)
    try:
        with small.connect() as first, small.connect() as second:
            first.sendall(big)
            time.sleep(0.5)
            second.sendall(big)
            time.sleep(0.5)
            assert small.post("/v1/run", RUN)[1]["passed"], "a small request gives way to no large one"
            answers = []
            for connection in (first, second):
                connection.sendall(b"y" * (MB - 9))
                answers.append(_answer(connection).split(b"\r\n")[0])
        assert sorted(answer[:13] for answer in answers) == [b"HTTP/1.1 422 ", b"HTTP/1.1 429 "]
    finally:
        stop(small)


# Content-Type


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"])
def test_json_is_taken_whatever_it_is_called(server, kind):
    raw = json.dumps(RUN).encode()
    lines = [f"Content-Type: {kind}"] if kind else []
    with server.connect() as connection:
        request = "\r\n".join([f"POST /t/{TOKEN}/v1/run HTTP/1.1", "Host: x", f"Content-Length: {len(raw)}", *lines, "", ""])
        connection.sendall(request.encode() + raw)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_what_is_not_json_is_told_the_content_type(server):
    with server.connect() as connection:
        request = f"POST /t/{TOKEN}/v1/run HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\ncode=1"
        connection.sendall(request.encode())
        answer = _answer(connection).decode()
    assert " 422 " in answer and "Content-Type is '', but JSON is needed: application/json" in answer


def test_a_web_page_cannot_send_a_form(server):
    raw = json.dumps(RUN).encode()
    lines = ["Host: x", "Origin: http://evil", "Content-Type: text/plain", f"Content-Length: {len(raw)}", "", ""]
    with server.connect() as connection:
        connection.sendall("\r\n".join([f"POST /t/{TOKEN}/v1/run HTTP/1.1", *lines]).encode() + raw)
        answer = _answer(connection).decode()
    assert " 415 " in answer and "Content-Type: 'text/plain' is not allowed with an Origin; application/json" in answer


# Slow clients


@pytest.fixture(scope="module")
def impatient():
    made = start(connections__HEAD_S=1, connections__STALLED_S=1, reading__PAUSE_S=1, reading___DISCARDED_S=1)
    yield made
    stop(made)


def _dribble(connection: socket.socket, data: bytes, seconds: float) -> bool:
    """Sends a byte at a time; whether the server ended the connection meanwhile."""
    deadline = time.monotonic() + seconds
    for place in range(len(data)):
        if time.monotonic() > deadline:
            return False
        try:
            connection.sendall(data[place : place + 1])
        except ConnectionError:
            return True
        if _closed(connection, 0.1):
            return True
    return False


def test_a_connection_that_says_nothing_is_closed(impatient):
    with impatient.connect() as connection:
        assert _closed(connection, 5)


def test_a_head_that_dribbles_is_closed(impatient):
    with impatient.connect() as connection:
        assert _dribble(connection, head("/v1/run", "X: " + "y" * 500), 5)


def test_a_second_head_that_dribbles_is_closed(impatient):
    with impatient.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        assert _dribble(connection, b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 500, 5)


@pytest.mark.parametrize("path", ["/v1/run", "/nothing", "/healthz"])
def test_a_body_that_dribbles_is_closed(impatient, path):
    with impatient.connect() as connection:
        connection.sendall(head(path, "Content-Length: 1000"))
        assert _dribble(connection, b" " * 1000, 6)


def test_a_slow_body_is_told_so(impatient):
    with impatient.connect() as connection:
        connection.sendall(head("/v1/run", "Content-Length: 1000") + b"{")
        answer = _answer(connection)
        assert answer.startswith(b"HTTP/1.1 408 ") and b"request: slower than 256 KiB in 1 s is not allowed" in answer
        assert b"connection: close" in answer and _closed(connection, 2)


def test_the_rest_of_a_refused_body_is_waited_for_only_so_long(impatient):
    with impatient.connect() as connection:
        connection.sendall(f"POST /v1/run HTTP/1.1\r\nHost: x\r\nContent-Length: {MB}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")
        assert _closed(connection, 3)


def test_an_answer_that_nobody_reads_is_thrown_away(impatient):
    body = json.dumps({"code": "print('x' * (30 << 20))", "language": "python"}).encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = impatient.url.removeprefix("http://").split(":")
        connection.connect((host, int(port)))
        before = _metric(impatient, "sandbox_connections")
        connection.sendall(head("/run_code", f"Content-Length: {len(body)}") + body)
        deadline = time.monotonic() + 20
        while _metric(impatient, "sandbox_connections") >= before and time.monotonic() < deadline:
            time.sleep(0.2)
        assert time.monotonic() < deadline


def test_requests_that_wait_in_a_connection_are_answered_in_turn(server):
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        got = b""
        while got.count(b"HTTP/1.1 200 ") < 20 or not got.endswith(b"}"):
            got += connection.recv(65536)


def test_of_too_many_connections_the_silent_ones_go():
    server = start("--queue", "8", "--connections", "80")
    connections = []
    try:
        for number in range(200):
            connections.append(server.connect())
            connections[-1].sendall(b"GET" if number % 2 else head("/v1/run", "Content-Length: 9"))
        assert server.get("/healthz", None)[0] == 200
        assert server.post("/v1/run", RUN)[1]["passed"]
        assert _metric(server, "sandbox_connections") <= 80
    finally:
        for connection in connections:
            connection.close()
        stop(server)


def test_a_small_limit_on_open_files_is_lived_with():
    server = start(files=400)
    connections = [server.connect() for _ in range(350)]
    try:
        assert server.post("/v1/run", RUN)[1]["passed"]
        assert _metric(server, "sandbox_connections") <= 400 - 64 - 2 * 32
    finally:
        for connection in connections:
            connection.close()
        stop(server)


def test_a_connection_that_finds_no_room_is_told_so():
    async def main() -> bytes:
        config = uvicorn.Config(lambda *_: None, log_level="critical")
        config.load()
        made = protocol(Connections(0, MB))
        listening = await asyncio.get_running_loop().create_server(lambda: made(config, uvicorn.server.ServerState(), {}), "127.0.0.1", 0)
        async with listening:
            reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
            answer = await reader.read()
            writer.close()
        return answer

    assert asyncio.run(main()).startswith(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n")


def test_answers_that_nobody_reads_take_bounded_memory():
    server = start("--workers", "2", "--held-mb", "300")
    body = json.dumps({"code": "print('x' * (30 << 20))", "language": "python"}).encode()
    connections = []
    try:
        with Watch(server) as watch:
            for _ in range(20):
                connections.append(server.connect())
                connections[-1].sendall(head("/run_code", f"Content-Length: {len(body)}") + body)
            deadline = time.monotonic() + 60
            while _metric(server, 'sandbox_requests_total{path="/run_code",status="200"}') < 20 and time.monotonic() < deadline:
                time.sleep(0.2)
        print(f"20 answers of 30 MiB that nobody reads: {watch.most >> 20} MiB")
        assert time.monotonic() < deadline and watch.most < 800 * MB
    finally:
        for connection in connections:
            connection.close()
        stop(server)


# Fairness


def test_clients_take_turns():
    async def main() -> list[str]:
        turns, order = Turns(1, 100), []
        waiting = [(name, turns.ask(name)) for name in ("a", "a", "a", "a", "b", "b", "c")]
        while waiting:
            name, turn = next((name, turn) for name, turn in waiting if turn.done())
            waiting.remove((name, turn))
            order.append(name)
            turns.release()
        assert turns.held == 0
        return order

    assert asyncio.run(main()) == ["a", "a", "b", "c", "a", "b", "a"]


def test_a_full_queue_takes_from_the_longest_line():
    async def main() -> None:
        turns = Turns(1, 5)
        first = [turns.ask("a") for _ in range(6)]
        assert isinstance(first[5].exception(), Busy) and not any(turn.done() for turn in first[1:5])
        other = turns.ask("b")
        assert not other.done() and isinstance(first[4].exception(), Busy), "the newest of the longest line went"
        turns.ask("b")
        assert isinstance(first[3].exception(), Busy)
        assert isinstance(turns.ask("b").exception(), Busy), "as many as the other has"
        turns.leave("b", other)
        turns.leave("b", other)
        assert turns.held == 4

    asyncio.run(main())


async def _from(address: str, url: str, count: int, body: Any, headers: dict[str, str] | None = None) -> list[tuple[float, int]]:
    """When each of so many requests at once was answered, in seconds from now, and with what; the answers in their order."""
    connector = aiohttp.TCPConnector(limit=0, local_addr=(address, 0))
    began = time.monotonic()
    answered: list[tuple[float, int]] = []
    headers = {"Authorization": f"Bearer {TOKEN}"} | (headers or {})
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def one() -> None:
            async with session.post(f"{url}/run_code", json=body) as answer:
                await answer.read()
                answered.append((time.monotonic() - began, answer.status))

        await asyncio.gather(*[one() for _ in range(count)])
    return answered


NAP = {"code": "import time; time.sleep(0.15)", "language": "python"}


@pytest.mark.parametrize("proxy", [False, True])
def test_a_client_with_many_requests_delays_another_by_about_one_sample(proxy):
    options = ["--client-header", "X-Forwarded-For"] if proxy else []
    server = start("--workers", "1", *options)

    async def main() -> tuple[float, int, float]:
        def sent(number: int) -> Any:
            address, headers = ("127.0.0.9", {"X-Forwarded-For": f"spoofed, 10.0.0.{number}"}) if proxy else (f"127.0.0.{number}", {})
            return address, headers

        address, headers = sent(2)
        many = asyncio.ensure_future(_from(address, server.url, 25, NAP, headers))
        await asyncio.sleep(1)
        address, headers = sent(3)
        ((seconds, status),) = await _from(address, server.url, 1, NAP, headers)
        return seconds, status, max(second for second, _ in await many)

    try:
        seconds, status, all_of_them = asyncio.run(main())
        assert status == 200 and seconds < all_of_them / 4, f"{seconds:.1f} s beside {all_of_them:.1f} s"
    finally:
        stop(server)


def test_a_client_that_fills_the_queue_gives_a_place_to_another():
    server = start("--workers", "1", "--queue", "6")

    async def main() -> tuple[list[int], list[int]]:
        nap = NAP | {"code": "import time; time.sleep(1)"}
        many = asyncio.ensure_future(_from("127.0.0.2", server.url, 6, nap))
        await asyncio.sleep(0.4)
        other = await _from("127.0.0.3", server.url, 1, nap)
        return sorted(status for _, status in await many), [status for _, status in other]

    try:
        assert asyncio.run(main()) == ([200] * 5 + [429], [200])
    finally:
        stop(server)


# All at once


def test_honest_clients_lose_nothing_beside_a_few_attackers():
    alone, beside = beside_attackers(50, 10, 4, 2, 4)
    assert beside <= 8 * alone, "the drill has the real bound; unbounded, it is 25 times"


@pytest.mark.proof
def test_honest_clients_lose_nothing_beside_many_attackers_for_a_minute():
    """Budget: 3 minutes."""
    alone, beside = beside_attackers(500, 50, 10, 20, HOLD_S)
    assert beside <= 2 * alone
