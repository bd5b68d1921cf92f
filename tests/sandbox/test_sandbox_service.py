"""The service as its users meet it: a real server in a process of its own, and the public clients."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

import aiohttp
from serving import ROOT, TOKEN, Server, head, start, stop

HOLD_S = float(os.environ.get("KLEAR_SERVICE_S", "60"))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = start("--request-mb", "1")
    yield made
    stop(made)


def test_a_program_is_judged(server):
    tests = [{"input": "3 4\n", "expected": "7\n"}, {"input": "1 1\n", "expected": "3\n", "weight": 3}]
    status, answer = server.post("/v1/run", {"code": "print(sum(map(int, input().split())))", "tests": tests})
    assert status == 200 and answer["verdict"] == "WA" and answer["pass_rate"] == 0.25 and answer["total"] == 2
    assert [test["verdict"] for test in answer["tests"]] == ["AC", "WA"] and answer["tests"][0]["stdout"] == "7\n"


def test_a_function_is_judged(server):
    test = {"function": "f", "args": [[1, 2]], "expected": {"a": 3}}
    assert server.post("/v1/run", {"code": "def f(x): return {'a': sum(x)}", "tests": [test]})[1]["passed"]


def test_numbers_may_differ_by_the_tolerance_of_their_test(server):
    tests = [{"expected": "0.5", "abs_tol": 1e-3}, {"expected": "0.5", "rel_tol": 1e-9}, {"expected": "0.5"}]
    status, answer = server.post("/v1/run", {"code": "print(0.5001)", "tests": tests})
    assert status == 200 and [test["verdict"] for test in answer["tests"]] == ["AC", "WA", "WA"]
    assert server.post("/v1/run", {"code": "", "tests": [{"expected": "1", "abs_tol": -1}]})[0] == 422


@pytest.mark.parametrize("path", ["/v1/run", "/run_code", "/metrics", "/nothing"])
@pytest.mark.parametrize("token", [None, "", "a-token-for-these-test", "a-token-for-these-tests1"])
def test_without_the_token_nobody_gets_in(server, path, token):
    status, answer = server.post(path, {"code": "print(1)", "language": "python"}, token)
    assert status == 401 and answer["detail"].startswith("token: needed")
    assert server.post(f"/t/{token or ''}{path}", {"code": "", "language": "python"}, None)[0] == 401


def test_the_token_may_stand_in_the_path(server):
    status, answer = server.post(f"/t/{TOKEN}/run_code", {"code": "print(1)", "language": "python"}, None)
    assert status == 200 and answer["run_result"]["stdout"] == "1\n"


@pytest.mark.parametrize(("path", "status"), [
    ("//run_code", 401), ("/run_code/", 401), ("/healthz/../run_code", 401), ("/openapi.json/../run_code", 401), ("/%2e/run_code", 401),
    ("/t//run_code", 401), ("/t", 401), ("/t/%c3%a9/run_code", 401), ("/run_code?x=/healthz", 401), (f"/t/{TOKEN}/../run_code", 404),
    (f"/t/{TOKEN}//run_code", 404), (f"/t/{TOKEN}/t/{TOKEN}/run_code", 404), (f"/t/{TOKEN}", 404),
])  # fmt: skip
def test_no_spelling_of_a_path_goes_around_the_token(server, path, status):
    assert server.post(path, {"code": "print(1)", "language": "python"}, None)[0] == status


def test_the_scheme_of_the_token_may_be_spelled_in_any_case(server):
    request = urllib.request.Request(f"{server.url}/metrics", headers={"Authorization": f"bearer {TOKEN}"})
    assert urllib.request.urlopen(request).status == 200


TEST = {"input": "", "expected": ""}


@pytest.mark.parametrize(("path", "body", "said"), [
    ("/v1/run", {"code": "x"}, "tests: Field required"),
    ("/v1/run", {"code": "x", "tests": []}, "tests: List should have at least 1 item"),
    ("/v1/run", {"code": 3, "tests": [TEST]}, "code: Input should be a valid string"),
    ("/v1/run", {"code": "x", "tests": [TEST], "mode": "fast"}, "mode: Input should be 'native' or 'lcb_compat'"),
    ("/v1/run", {"code": "x", "tests": [{**TEST, "checker": "os:system"}]}, "tests.0.checker: Extra inputs are not permitted"),
    ("/v1/run", {"code": "x", "tests": [{"input": ""}]}, "expected: NoneType is not allowed; str or bytes"),
    ("/v1/run", {"code": "x", "tests": [TEST], "limits": {"cpu_s": -1}}, "cpu_s: -1.0 is not allowed; a number from 0.01"),
    ("/v1/run", {"code": "x", "tests": [TEST], "limits": {"memory_mb": 9999}}, "memory_mb: 9999 is not allowed; at most 1024 on this"),
    ("/run_code", {"code": "x", "language": "cpp"}, "language: Input should be 'python'"),
    ("/run_code", {"code": "x", "language": "python", "files": {"a": "YQ=="}}, "files: Dictionary should have at most 0 items"),
    ("/run_code", {"code": "x", "language": "python", "run_timeout": 1e9}, "cpu_s: 1000000000.0 is not allowed"),
])  # fmt: skip
def test_malformed_requests_are_named(server, path, body, said):
    status, answer = server.post(path, body)
    assert status == 422 and answer["detail"].startswith(said), answer


@pytest.mark.parametrize("raw", [
    b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"code": ' + b"9" * 5000 + b"}", b'{"code": "\\ud800", "tests": []}',
])  # fmt: skip
def test_what_is_not_json_is_malformed(server, raw):
    assert server.post("/v1/run", None, raw=raw)[0] == 422


def test_oversized_requests_are_refused_before_they_are_read(server):
    status, answer = server.post("/v1/run", {"code": "#" * (1 << 20), "tests": [TEST]})
    assert status == 413 and answer["detail"] == "request: larger than 1 MiB is not allowed"


def test_oversized_requests_without_a_length_are_refused_as_they_come(server):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head("/v1/run", "Transfer-Encoding: chunked"))
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        for _ in range(64):
            connection.sendall(chunk)
        connection.sendall(b"0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_health_and_metrics_tell_what_happened(server):
    assert server.get("/healthz", None)[1]["status"] == "ok"
    before = server.get("/metrics")[1]
    server.post("/run_code", {"code": "1/0", "language": "python"})
    after = server.get("/metrics")[1]

    def count(text: str, name: str) -> float:
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    assert count(after, 'sandbox_tests_total{verdict="RE"}') == count(before, 'sandbox_tests_total{verdict="RE"}') + 1
    name = 'sandbox_requests_total{path="/run_code",status="200"}'
    assert count(after, name) == count(before, name) + 1
    assert count(after, "sandbox_requests_held ") == 0


def test_the_interface_is_described(server):
    paths = server.get("/openapi.json", None)[1]["paths"]
    assert {"/v1/run", "/run_code", "/healthz", "/metrics"} <= set(paths)
    assert "requestBody" in paths["/v1/run"]["post"]


def test_the_description_of_the_interface_is_whole(server):
    described = server.get("/openapi.json", None)[1]
    schemas = described["components"]["schemas"]
    for reference in re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(described)):
        assert reference in schemas
    for path, body, answer in (("/v1/run", "RunBody", "RunAnswer"), ("/run_code", "CodeBody", "CodeAnswer")):
        post = described["paths"][path]["post"]
        assert post["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith(f"/{body}")
        assert post["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith(f"/{answer}")
        assert {"401", "408", "413", "415", "422", "429"} <= set(post["responses"])
    assert set(schemas["TestBody"]["properties"]) == {"input", "expected", "function", "args", "weight", "abs_tol", "rel_tol"}


def test_a_full_queue_answers_at_once():
    server = start("--queue", "2")

    async def main() -> list[int]:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
            async def one() -> int:
                body = {"code": "import time; time.sleep(3)", "language": "python"}
                async with session.post(f"{server.url}/run_code", json=body) as answer:
                    return answer.status

            return await asyncio.gather(*[one() for _ in range(6)])

    try:
        assert sorted(asyncio.run(main())) == [200, 200, 429, 429, 429, 429]
    finally:
        stop(server)


def test_a_client_that_leaves_frees_its_place(server):
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps({"code": "while True: pass", "language": "python", "run_timeout": 50}).encode()
    for _ in range(4):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(head("/run_code", f"Content-Length: {len(body)}") + body)
            time.sleep(0.1)
    began = time.monotonic()
    assert server.post("/run_code", {"code": "print(1)", "language": "python"})[0] == 200
    assert time.monotonic() - began < 10


def test_the_server_ends_with_its_programs():
    server = start()
    client = socket.create_connection(tuple(server.url.removeprefix("http://").split(":")))
    body = json.dumps({"code": "while True: pass", "language": "python"}).encode()
    client.sendall(head("/run_code", f"Content-Length: {len(body)}") + body)
    time.sleep(0.5)
    client.close()
    began = time.monotonic()
    assert stop(server) in (0, -signal.SIGTERM) and time.monotonic() - began < 10


@pytest.mark.parametrize(("options", "said"), [
    (["--port", "x"], "argument --port: 'x' is not allowed; a whole number from 0 to 65535"),
    (["--host", "0.0.0.0", "--no-token"], "--no-token: not allowed with --host 0.0.0.0; a loopback address"),
    (["--token-file", "/nonexistent"], "--token-file /nonexistent: "),
    (["--tier", "none"], "argument --tier: invalid choice: 'none'"),
    (["--held-mb", "200"], "--held-mb 200: not allowed with this --request-mb and --values; at least 255"),
    (["--queue", "90", "--connections", "100"], "--queue 90: not allowed with --connections 100; at most 36"),
    (["--client-header", "a b"], "argument --client-header: 'a b' is not allowed; the name of a header, such as X-Forwarded-For"),
    (["--values", "0"], "argument --values: '0' is not allowed; a whole number from 1 to 1000000000"),
])  # fmt: skip
def test_bad_options_are_one_line_and_exit_2(options, said):
    done = subprocess.run([sys.executable, "-m", "sandbox.server", *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and said in done.stderr.splitlines()[-1]


def test_a_weak_token_is_refused():
    environment = {**os.environ, "KLEAR_SANDBOX_TOKEN": "short"}
    done = subprocess.run([sys.executable, "-m", "sandbox.server"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "sandbox.server: $KLEAR_SANDBOX_TOKEN: not allowed; at least 16 letters, digits or -_.~\n"


def test_a_server_without_a_token_of_its_own_makes_one_and_prints_it():
    server = start(token=None)
    try:
        assert server.process.stdout is not None
        token = server.process.stdout.readline().split()[-1]
        assert len(token) >= 32
        assert server.post("/run_code", {"code": "print(1)", "language": "python"}, token)[0] == 200
        assert server.post("/run_code", {"code": "print(1)", "language": "python"})[0] == 401
    finally:
        stop(server)


# The public clients


@pytest.fixture
def fusion(server) -> Any:
    module = pytest.importorskip("sandbox_fusion", reason="the client sandbox-fusion is not installed")
    module.set_sandbox_endpoint(f"{server.url}/t/{TOKEN}")
    return module


def test_the_client_of_sandbox_fusion_runs_python(fusion):
    answer = fusion.run_code(fusion.RunCodeRequest(code="print(int(input()) * 2)", language="python", stdin="21"))
    assert answer.status == "Success" and answer.run_result.stdout == "42\n" and answer.run_result.return_code == 0


@pytest.mark.parametrize(("code", "status", "summary"), [
    ("raise SystemExit(3)", "Finished", "RunFailed"),
    ("1/0", "Finished", "RunFailed"),
    ("def", "Finished", "RunFailed"),
    ("while True: pass", "TimeLimitExceeded", "RunTimeout"),
    ("x = bytearray(3 << 30)", "Finished", "RunFailed"),
    ("print('x' * 200_000)", "Finished", "Success"),
])  # fmt: skip
def test_the_client_of_sandbox_fusion_understands_what_went_wrong(fusion, code, status, summary):
    answer = fusion.run_code(fusion.RunCodeRequest(code=code, language="python", run_timeout=2), max_attempts=1)
    mapping = fusion.SummaryMapping(RunFailed="RunFailed", RunTimeout="RunTimeout", CompileFailed="CompileFailed")
    assert answer.run_result.status == status
    assert fusion.summary_run_code_result(answer, mapping) == summary
    if summary == "Success":
        assert len(answer.run_result.stdout) == 200_001


def test_the_asynchronous_client_of_sandbox_fusion_runs_python(fusion):
    answer = asyncio.run(fusion.run_code_async(fusion.RunCodeRequest(code="print(1)", language="python")))
    assert answer.run_result.stdout == "1\n"


def _verl_reward() -> Any:
    """verl's sandbox reward, loaded as it is, without the rest of verl."""
    try:
        files = importlib.metadata.files("verl") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("verl is not installed: pip install --no-deps verl")
    first = next(file for file in files if str(file) == "verl/utils/reward_score/sandbox_fusion/__init__.py").locate()
    spec = importlib.util.spec_from_file_location("verl_sandbox_reward", first, submodule_search_locations=[str(Path(first).parent)])
    assert spec is not None and spec.loader is not None
    module = sys.modules["verl_sandbox_reward"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("code", "score"), [
    ("print(int(input()) * 2)", 1.0),
    ("n = int(input())\nprint(n * 2 if n < 3 else 0)", 0.75),
    ("print(", 0.0),
    ("1/0", 0.0),
])  # fmt: skip
def test_the_sandbox_reward_of_verl_scores_programs(server, code, score):
    tests = {"inputs": [f"{n}\n" for n in range(4)], "outputs": [f"{2 * n}\n" for n in range(4)]}
    url = f"{server.url}/t/{TOKEN}/run_code"
    found, details = _verl_reward().compute_score(url, None, 1024, f"```python\n{code}\n```", tests, timeout=5)
    assert found == score and len(details) == 4


def test_the_sandbox_reward_of_verl_calls_functions(server):
    tests = {"fn_name": "double", "inputs": ["1", "2"], "outputs": ["2", "4"]}
    code = "```python\ndef double(n):\n    return 2 * n\n```"
    assert _verl_reward().compute_score(f"{server.url}/t/{TOKEN}/run_code", None, 1024, code, tests, timeout=5)[0] == 1.0


async def _hold(url: str, clients: int, seconds: float) -> dict[Any, int]:
    """So many clients, each with a request under way all the time. Counts answers by what they are."""
    outcomes: dict[Any, int] = {}
    deadline = time.monotonic() + seconds
    timeout = aiohttp.ClientTimeout(total=120)
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers={"Authorization": f"Bearer {TOKEN}"}) as session:

        async def client(number: int) -> None:
            turn = 0
            while time.monotonic() < deadline:
                turn += 1
                body = {"code": "print(int(input()) * 2)", "language": "python", "stdin": str(number * 1000 + turn)}
                try:
                    async with session.post(f"{url}/run_code", json=body) as answer:
                        right = answer.status == 200 and (await answer.json())["run_result"]["stdout"] == f"{2 * (number * 1000 + turn)}\n"
                        outcome: Any = "right" if right else answer.status
                except (aiohttp.ClientError, TimeoutError) as error:
                    outcome = type(error).__name__
                outcomes[outcome] = outcomes.get(outcome, 0) + 1

        await asyncio.gather(*[client(number) for number in range(clients)])
    return outcomes


def test_two_hundred_clients_at_once_lose_nothing(server):
    outcomes = asyncio.run(_hold(server.url, 200, 2))
    assert set(outcomes) == {"right"} and outcomes["right"] >= 200


@pytest.mark.proof
def test_two_hundred_clients_at_once_lose_nothing_for_a_minute(server):
    outcomes = asyncio.run(_hold(server.url, 200, HOLD_S))
    print(f"200 clients for {HOLD_S:g} s: {outcomes}")
    assert set(outcomes) == {"right"} and outcomes["right"] > 10 * HOLD_S
