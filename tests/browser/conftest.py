"""A real Chromium, driven by playwright, on pages that are opened from disk."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reports"))

FLAGS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser of the machine; `KLEAR_BROWSER=required` makes its absence an error."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        sync_playwright = None
    if path is None or sync_playwright is None:
        missing = "chromium (Debian's package)" if path is None else "playwright"
        assert os.environ.get("KLEAR_BROWSER") != "required", f"{missing} is not installed"
        pytest.skip(f"{missing} is not installed")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS, chromium_sandbox=os.getuid() != 0)
        yield browser
        browser.close()


class Opened:
    """A page with everything that it complained of and asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def open(self, path: Path, fragment: str = "") -> Any:
        """Open a file as a user would, and wait until the viewer is ready where the page has one."""
        self.page.goto(path.resolve().as_uri() + fragment)
        if self.page.locator("#viewer-body").count():
            self.page.wait_for_selector("html[data-ready=true]", state="attached", timeout=20_000)
        return self.page


@pytest.fixture
def opened(chromium: Any) -> Iterator[Opened]:
    """A fresh page; every test ends with the check that it left nothing and complained of nothing."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    found = Opened(context.new_page())
    yield found
    context.close()
    assert found.complaints == []
    assert [url for url in found.requests if not url.startswith(("file:", "data:", "blob:"))] == []
