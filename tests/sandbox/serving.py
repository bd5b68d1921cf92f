"""A real server in a process of its own, for the tests of the service."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-for-these-tests"


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    url: str

    def post(self, path: str, body: Any, token: str | None = TOKEN, raw: bytes | None = None) -> tuple[int, Any]:
        """Status and answer of a POST."""
        data = raw if raw is not None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        return self._open(urllib.request.Request(self.url + path, data, headers))

    def get(self, path: str, token: str | None = TOKEN) -> tuple[int, Any]:
        """Status and answer of a GET."""
        return self._open(urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {token}"} if token else {}))

    def connect(self) -> socket.socket:
        """A connection, for requests by hand."""
        host, port = self.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=20)

    def _open(self, request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text


def head(path: str, *lines: str) -> bytes:
    """The beginning of a request by hand."""
    common = (f"POST /t/{TOKEN}{path} HTTP/1.1", "Host: x", "Content-Type: application/json")
    return "\r\n".join((*common, *lines, "", "")).encode()


def start(*options: str, token: str | None = TOKEN, files: int | None = None, **constants: float) -> Server:
    """Starts a server on a free port and waits for its first line. `constants` replaces time-outs: module__NAME=seconds;
    `files` is its hard limit on open files.
    """
    environment = {name: value for name, value in os.environ.items() if name != "KLEAR_SANDBOX_TOKEN"}
    if token:
        environment["KLEAR_SANDBOX_TOKEN"] = token
    how = ["-m", "sandbox.server"]
    if constants:
        split = [(*name.split("__"), value) for name, value in constants.items()]
        changes = [f"import sandbox.service.{module}; sandbox.service.{module}.{name} = {value}" for module, name, value in split]
        how = ["-c", "; ".join([*changes, "import sys, sandbox.server; sys.exit(sandbox.server.main())"])]
    limit = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh"] if files else []
    process = subprocess.Popen(
        [*limit, sys.executable, *how, "--port", "0", "--workers", "2", *options], cwd=ROOT, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    assert line.startswith("listening on http://"), process.stderr.read()
    return Server(process, line.split()[-1])


def stop(server: Server) -> int:
    """Ends a server as an operator does; its exit code."""
    server.process.send_signal(signal.SIGTERM)
    server.process.communicate(timeout=20)
    return server.process.returncode
