"""The example report in docs is what the code makes: its page and its assets are those of today."""

from __future__ import annotations

import re
from pathlib import Path


def test_the_example_report_has_todays_page_and_assets(root: Path) -> None:
    example, package = root / "docs" / "example-report", root / "reports"
    for asset in sorted((package / "assets").rglob("*")):
        if asset.is_file():
            assert (example / "assets" / asset.relative_to(package / "assets")).read_bytes() == asset.read_bytes(), asset
    page = (example / "index.html").read_text(encoding="utf-8")
    template = (package / "templates" / "index.html.j2").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', template)
    assert policy and policy[1] in page
    assert (package / "templates" / "style.css").read_text(encoding="utf-8").strip() in page


def test_the_example_report_is_of_the_demo_and_says_that_it_is_a_stand_in(root: Path) -> None:
    markdown = (root / "docs" / "example-report" / "report.md").read_text(encoding="utf-8")
    assert markdown.startswith("# sft, rl-math, rl-code and 4 more · run smoke\n\nConfiguration: profile smoke · ")
    assert "NOT comparable" in markdown
    figures = set(re.findall(r"\]\((figures/[\w.-]+)\)", markdown))
    assert len(figures) > 20 and all((root / "docs" / "example-report" / name).is_file() for name in figures)
