"""A small server that speaks the part of the Hub's protocol that downloading a data set needs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def fake_hub(repo: str, files: dict[str, bytes]) -> Iterator[str]:
    """Serve `files` as data set `repo` at revision `main` and at `COMMIT`; yields the endpoint."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _answer(self) -> None:
            path = self.path.split("?")[0]
            if path in (f"/api/datasets/{repo}/revision/main", f"/api/datasets/{repo}/revision/{COMMIT}"):
                names = [{"rfilename": name} for name in files]
                return self._send(json.dumps({"id": repo, "sha": COMMIT, "siblings": names}).encode())
            if path == f"/api/datasets/{repo}/tree/{COMMIT}":
                rows = [
                    {
                        "type": "file",
                        "path": name,
                        "size": len(content),
                        "oid": hashlib.sha1(content).hexdigest(),
                    }
                    for name, content in files.items()
                ]
                return self._send(json.dumps(rows).encode())
            name = path.removeprefix(f"/datasets/{repo}/resolve/{COMMIT}/")
            if name in files:
                return self._send(files[name])
            self.send_response(404)
            self.send_header("X-Error-Code", "RevisionNotFound" if "/revision/" in path else "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _send(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
