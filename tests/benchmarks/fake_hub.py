"""A small server that speaks the part of the Hub's protocol that downloading models and data sets needs."""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(ThreadingHTTPServer):
    """Repositories by kind and name (`datasets/ORG/NAME`, `models/ORG/NAME`) at revision `main` and at `COMMIT`.

    `cuts`: file name → bytes after which its next download breaks off, once; `stalls`: the same, but the connection
    stays open without another byte.  `sizes`: file name → bytes that listings give it.  `asked`: (method, path, Range header)
    of every request.
    """

    daemon_threads = True

    def __init__(self, repos: Mapping[str, Mapping[str, bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos = repos
        self.cuts: dict[str, int] = {}
        self.stalls: dict[str, int] = {}
        self.sizes: dict[str, int] = {}
        self.stalled, self.closing = threading.Event(), threading.Event()
        self.asked: list[tuple[str, str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        path = self.path.split("?")[0]
        self.server.asked.append((self.command, path, self.headers.get("Range")))
        for name, files in self.server.repos.items():
            api, repo = f"/api/{name}", name.partition("/")[2]
            if path in (api, f"{api}/revision/main", f"{api}/revision/{COMMIT}"):
                sizes = "blobs=" in self.path
                known = {file: self.server.sizes.get(file, len(content)) for file, content in files.items()}
                rows = [{"rfilename": file} | ({"size": known[file]} if sizes else {}) for file in files]
                return self._send(json.dumps({"id": repo, "sha": COMMIT, "siblings": rows}).encode())
            if path == f"{api}/tree/{COMMIT}":
                tree = [
                    {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for file, content in files.items()
                ]
                return self._send(json.dumps(tree).encode())
            root = f"/{repo}" if name.startswith("models/") else f"/{name}"
            found = re.fullmatch(f"{re.escape(root)}/resolve/(?:main|{COMMIT})/(.+)", path)
            if found and found[1] in files:
                return self._send(files[found[1]], found[1])
        self.send_response(404)
        known = any(path.startswith((f"/api/{name}", f"/{name}", f"/{name.partition('/')[2]}/")) for name in self.server.repos)
        missing = "RevisionNotFound" if "/revision/" in path and known else "EntryNotFound" if known else "RepoNotFound"
        self.send_header("X-Error-Code", missing)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes, file: str = "") -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(wanted[1]) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command != "GET":
            return
        stop = self.server.cuts.pop(file, None)
        stall = self.server.stalls.pop(file, None)
        end = len(content) if stop is None and stall is None else min(value for value in (stop, stall) if value is not None)
        self.wfile.write(content[start:end])
        if end < len(content):
            self.wfile.flush()
            if stall is not None:
                self.server.stalled.set()
                self.server.closing.wait(60)
            self.close_connection = True
            self.connection.shutdown(2)


@contextmanager
def serving(repos: Mapping[str, Mapping[str, bytes]]) -> Iterator[FakeHub]:
    """The server, running."""
    server = FakeHub(repos)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def as_parquet(rows: list[dict[str, Any]], columns: Sequence[str]) -> dict[str, bytes]:
    """The only data file of a data set, named as the Hub names the first of one, with these columns in this order."""
    table, data = pa.Table.from_pylist([{name: row[name] for name in columns} for row in rows]), io.BytesIO()
    pq.write_table(table, data)
    return {"data/train-00000-of-00001.parquet": data.getvalue(), "README.md": b"# rows"}


def aime_2024(shared: Path) -> dict[str, bytes]:
    """AI-MO's rows with the columns that the card of HuggingFaceH4/aime_2024 lists."""
    lines = (shared / "data" / "aime24.ai-mo.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) | {"year": "2024"} for line in lines]
    return as_parquet(rows, ("id", "problem", "solution", "answer", "url", "year"))


@contextmanager
def fake_hub(repo: str, files: dict[str, bytes]) -> Iterator[str]:
    """Serve `files` as data set `repo`; yields the endpoint."""
    with serving({f"datasets/{repo}": files}) as server:
        yield server.url
