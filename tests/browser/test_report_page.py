"""The page of a run in a real Chromium, opened from disk as a reader would."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from run_builder import RunBuilder, complete

from benchmarks.protocols import load_protocol
from reports.render import write_report

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.slow

SOLUTION = r"""<think>We need \(x^2 + \frac{1}{2}\), which costs $5 and $6, %d.</think>

The answer is $$\int_0^1 x^2\,dx = \frac13$$ and \[\boxed{%d}\]
```python
def solve(n: int) -> str:
    return "abc" + str(n)  # a comment
```
A needle lies in sample %d."""
HOSTILE = (
    "<script>document.title = 'owned'; alert(1)</script><img src=x onerror=\"document.title='owned'\">"
    "<a href=\"javascript:document.title='owned'\">go</a> [go](javascript:alert(2)) \u202egnp.exe\u202c \x1b[31m \u2028 "
    "$\\href{javascript:alert(3)}{x}$ $\\includegraphics{http://example.org/x.png}$ $\\url{javascript:alert(4)}$ "
    "$\\htmlStyle{position:fixed}{y}$ $\\rule{100000em}{100000em}$ $" + "{" * 3000 + "}" * 3000 + "$ "
    "$\\def\\a{\\a\\a}\\a$\n```python\n</code></pre><script>alert(5)</script>\n```\n```html onmouseover=alert(6)\nx\n```\n"
)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete stand-in run with formulas, programs, judges that differ, and a long list."""
    builder = complete(RunBuilder(tmp_path_factory.mktemp("browser") / "run"))
    builder.measure("mini-words", "rl-math", [3, 1, 4, 0], text=lambda p, i: SOLUTION % (i, 10 * p + i, i))
    builder.measure("mini-words", "sft", [0, 1, 2, 0], text=lambda p, i: f"no thinking {p} {i}", disagree={(0, 3), (1, 1)})
    return write_report(builder.write())


@pytest.fixture(scope="module")
def artefacts() -> Path:
    """Where screenshots are kept to be looked at."""
    folder = Path(os.environ.get("KLEAR_ARTEFACTS", Path(__file__).resolve().parents[2] / "test-artefacts"))
    folder.mkdir(exist_ok=True)
    return folder


def count(page: Any) -> str:
    return str(page.locator("#viewer-count").inner_text())


def test_the_page_opens_from_disk_without_a_complaint_or_a_request(opened: Any, page_file: Path, artefacts: Path) -> None:
    page = opened.open(page_file)
    assert page.title() == "sft, rl-math, rl-code and 4 more · run hand-made"
    assert count(page) == "368 of 368 samples"
    page.screenshot(path=artefacts / "report-light.png", full_page=True)


def test_filters_show_what_they_say(opened: Any, page_file: Path) -> None:
    page = opened.open(page_file)
    assert page.locator("#viewer-problem").is_disabled()
    page.select_option("#viewer-benchmark", "mini-words")
    assert count(page) == "32 of 368 samples"
    page.select_option("#viewer-model", "rl-math")
    assert count(page) == "16 of 368 samples"
    page.select_option("#viewer-problem", "p0")
    assert count(page) == "4 of 368 samples"
    page.select_option("#viewer-outcome", "correct")
    assert count(page) == "3 of 368 samples"
    assert page.locator("#viewer-rows tr").count() == 3
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#viewer-count")).to_have_text("368 of 368 samples")
    page.select_option("#viewer-judges", "differ")
    assert count(page) == "2 of 368 samples"
    page.select_option("#viewer-judges", "")
    page.select_option("#viewer-benchmark", "mini-aime")
    page.fill("#viewer-least", "21")
    page.fill("#viewer-most", "21")
    page.locator("#viewer-most").blur()
    assert count(page) == "4 of 368 samples"  # 20 + 3·index + problem
    page.select_option("#viewer-benchmark", "mini-lcb")
    page.fill("#viewer-least", "")
    page.fill("#viewer-most", "")
    assert page.locator("#viewer-grader").input_value() == ""
    page.select_option("#viewer-outcome", "verdict WA")
    assert set(page.locator("#viewer-rows td:last-child").all_inner_texts()) == {"WA"}


def test_two_protocols_have_a_filter_a_column_and_addresses_of_their_own(opened: Any, page_file: Path, tmp_path: Path) -> None:
    assert not opened.open(page_file).locator("#viewer-protocol").is_visible()  # one protocol alone
    builder = RunBuilder(tmp_path / "run")
    for file, sampling in (("one", "s1"), ("two", "s2")):
        builder.measure("aime24", "mine", [1, 2], 2, sampling_hash=sampling, file=file)
    builder.measure("aime24", "mine", [1], 1, sampling_hash="s2", file="twin", prompt_hash="other", describe=False,
                    text=lambda p, i: "another prompt's answer")  # fmt: skip
    page = opened.open(write_report(builder.write()))
    assert count(page) == "9 of 9 samples" and "protocol" in page.locator("#viewer-headings").inner_text()
    name = page.locator("#viewer-protocol option").nth(2).get_attribute("value")
    assert name.endswith(" s2")
    page.select_option("#viewer-protocol", name)
    assert count(page) == "5 of 9 samples"
    addresses = [link.get_attribute("href") for link in page.locator("#viewer-rows a").all()]
    assert len(set(addresses)) == 5
    for address in addresses:
        page.evaluate("address => { location.hash = address; }", address)
        expect(page.locator("#viewer-rows tr.open a")).to_have_attribute("href", address)
    texts = []
    for address in addresses[:2]:
        page.locator(f'#viewer-rows a[href="{address}"]').click()
        expect(page.locator("#viewer-rows tr.open a")).to_have_attribute("href", address)
        texts.append(page.locator("#viewer-sample").inner_text())
    assert sum("another prompt's answer" in text for text in texts) == 1


def test_the_list_has_pages_and_sorts(opened: Any, page_file: Path) -> None:
    page = opened.open(page_file)
    assert page.locator("#viewer-page").inner_text() == "page 1 of 4"
    page.get_by_role("button", name="Next page").click()
    assert page.locator("#viewer-page").inner_text() == "page 2 of 4"
    page.locator("#viewer-headings").get_by_role("button", name="tokens").click()
    tokens = [int(text) for text in page.locator("#viewer-rows td:nth-child(5)").all_inner_texts()]
    assert tokens == sorted(tokens) and page.locator("#viewer-page").inner_text() == "page 1 of 4"
    page.locator("#viewer-headings").get_by_role("button", name="tokens").click()
    assert int(page.locator("#viewer-rows td:nth-child(5)").first.inner_text()) == 40
    assert page.locator("#viewer-headings th[aria-sort=descending]").inner_text().startswith("tokens")
    page.locator("#viewer-headings").get_by_role("button", name="problem").click()
    seen = [tuple(row.split("\t")[place] for place in (0, 2)) for row in page.locator("#viewer-rows tr").all_inner_texts()]
    assert seen == sorted(seen, key=lambda row: (row[0], int(row[1][1:])))  # the problems of one benchmark together, in their order


def test_every_judge_has_a_column_that_sorts_by_it(opened: Any, page_file: Path) -> None:
    page = opened.open(page_file)
    page.select_option("#viewer-benchmark", "mini-words")
    page.select_option("#viewer-model", "sft")
    cells = "rows => rows.map(row => [row.cells[5].innerText, row.cells[6].innerText])"
    for place, judge in enumerate(("strict", "klear")):
        page.locator("#viewer-headings").get_by_role("button", name=judge).click()
        said = page.locator("#viewer-rows tr").evaluate_all(cells)
        assert [row[place] for row in said] == sorted(row[place] for row in said)
        assert [row[1 - place] for row in said] != sorted(row[1 - place] for row in said)


def test_text_is_searched_in_what_the_filters_leave(opened: Any, page_file: Path) -> None:
    page = opened.open(page_file)
    page.fill("#viewer-query", "NEEDLE lies in sample 2")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#viewer-hits")).to_contain_text("(")
    assert page.locator("#viewer-hits").inner_text().startswith("4 found in 368 of 368 samples")
    assert page.locator("#viewer-rows mark").all_inner_texts() == ["needle lies in sample 2"] * 4
    page.select_option("#viewer-benchmark", "mini-words")  # the search goes on in what is left
    expect(page.locator("#viewer-hits")).to_contain_text("4 found in 32 of 32 samples")
    page.select_option("#viewer-model", "sft")
    page.locator("#viewer-query").press("Enter")
    expect(page.locator("#viewer-hits")).to_contain_text("(")
    assert page.locator("#viewer-hits").inner_text().startswith("0 found in 16 of 16")


def test_a_deep_link_opens_its_sample_with_formulas_and_code(opened: Any, page_file: Path, artefacts: Path) -> None:
    page = opened.open(page_file, "#sample/mini-words/rl-math/p1/2")
    sample = page.locator("#viewer-sample")
    assert sample.locator("h3").inner_text() == "mini-words · rl-math · problem p1, sample 2"
    assert sample.locator(".katex").count() == 2
    assert "\\frac" not in sample.locator(".katex-html").first.inner_text()
    assert sample.locator("code .token-keyword").all_inner_texts() == ["def", "return"]
    assert sample.locator("code").inner_text() == 'def solve(n: int) -> str:\n    return "abc" + str(n)  # a comment'
    thinking = sample.locator("details")
    assert thinking.get_attribute("open") is None
    page.screenshot(path=artefacts / "sample-light.png")
    thinking.locator("summary").click()
    assert "which costs $5 and $6, 2." in thinking.inner_text()
    page.check("#viewer-as-written")
    expect(sample.locator(".katex")).to_have_count(0)
    assert r"\frac13" in sample.inner_text()


def test_a_program_shows_its_tests(opened: Any, page_file: Path) -> None:
    page = opened.open(page_file, "#sample/mini-lcb/rl-code/p0/3")
    sample = page.locator("#viewer-sample")
    assert "verdict WA, 0 % of the tests passed" in sample.inner_text()
    tests = sample.locator("details", has_text="Tests (strict)")
    assert tests.locator("li").all_inner_texts() == ["1 AC", "2 WA"]
    assert "The first failing test: printed '<b>1</b>', expected '2'" in tests.inner_text()


def test_a_link_to_no_sample_says_so(opened: Any, page_file: Path) -> None:
    for fragment in ("#sample/mini-words/rl-math/p77/2", "#sample/%zz/x", "#sample/", "#sample/a/b/c/d/e/f"):
        page = opened.open(page_file, fragment)
        assert page.locator("#viewer-sample").inner_text() == "This report has no such sample."
        page.goto("about:blank")


def test_keys_walk_through_the_samples(opened: Any, page_file: Path) -> None:
    page = opened.open(page_file, "#sample/mini-words/rl-math/p1/2")
    page.keyboard.press("j")
    expect(page.locator("#viewer-sample h3")).to_contain_text("sample 3")
    assert page.url.endswith("#sample/mini-words/rl-math/p1/3")
    page.keyboard.press("k")
    expect(page.locator("#viewer-sample h3")).to_contain_text("sample 2")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "viewer-query"
    page.keyboard.type("jk")
    assert page.input_value("#viewer-query") == "jk"


def test_the_keyboard_alone_opens_a_sample(opened: Any, page_file: Path) -> None:
    page = opened.open(page_file)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.focus("#viewer-rows a")
    page.keyboard.press("Enter")
    page.wait_for_selector("#viewer-sample h3")
    assert page.evaluate("document.activeElement.tagName") == "H3"


def test_tables_of_the_report_sort(opened: Any, page_file: Path) -> None:
    page = opened.open(page_file)
    table = page.locator("#published table")
    button = table.get_by_role("button", name="published")
    button.click()
    scores = [float(text.split()[0]) for text in table.locator("tbody td:nth-child(4)").all_inner_texts()]
    assert scores == sorted(scores) and len(scores) == 15
    button.click()
    assert table.locator("tbody td:nth-child(4)").first.inner_text() == "90.5 (avg@64)"


def test_dark_follows_the_system_and_the_button(opened: Any, page_file: Path, artefacts: Path) -> None:
    page = opened.open(page_file, "#sample/mini-words/rl-math/p1/2")
    background = "getComputedStyle(document.documentElement).backgroundColor"
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(background)
    assert dark != "rgb(255, 255, 255)"
    page.screenshot(path=artefacts / "sample-dark.png")
    page.locator("#theme").click()
    assert page.locator("#theme").inner_text() == "Theme: light"
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="light")
    page.locator("#theme").click()
    assert page.evaluate(background) == dark
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=artefacts / "report-dark.png")


def test_it_prints_as_a_report_without_controls(opened: Any, page_file: Path, artefacts: Path) -> None:
    page = opened.open(page_file)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#viewer").is_visible() and not page.locator("#theme").is_visible()
    assert page.locator("#scores table").first.is_visible()
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 less Chromium's margins
    wide = "tables => tables.filter(one => one.getBoundingClientRect().right > innerWidth).map(one => one.caption?.innerText)"
    assert page.locator("table:visible").evaluate_all(wide) == []
    assert page.locator(".scroll").evaluate_all("all => all.filter(one => getComputedStyle(one).overflowX !== 'visible').length") == 0
    page.screenshot(path=artefacts / "report-print.png", full_page=True)
    page.emulate_media(media=None)
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF") and len(printed) > 50_000
    (artefacts / "report.pdf").write_bytes(printed)


def test_the_table_of_verdicts_prints_whole_and_breaks_no_word(opened: Any, tmp_path: Path) -> None:
    builder = RunBuilder(tmp_path / "run")
    builder.manifest["stand_in"] = False
    protocol = load_protocol("klear-release-64k").model_dump(mode="json")
    builder.measure("aime24", "Klear-Reasoner-8B", [58] * 30, 64, protocol=protocol)
    builder.measure("lcb_v5", "Klear-Reasoner-8B", [5] * 279, 8, protocol=protocol, code=True, graders=("lcb_compat",))
    page = opened.open(write_report(builder.write(), texts=False))
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1000})
    table = page.locator("#published table").first
    assert table.bounding_box()["width"] <= 718
    lines = """cells => cells.map(cell => {
      const words = document.createRange();
      words.selectNodeContents(cell);
      return [cell.innerText, new Set([...words.getClientRects()].map(box => Math.round(box.top))).size];
    })"""
    words = ("inconclusive", "lcb_compat", "strict", "aime24")
    short = [(text, count) for text, count in table.locator("td").evaluate_all(lines) if text in words]
    assert len(short) >= 6 and all(count == 1 for _, count in short), short


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_accessibility_check_finds_nothing_serious(opened: Any, page_file: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened.open(page_file, "#sample/mini-words/rl-math/p1/2")
    page.emulate_media(color_scheme=scheme)
    for details in page.locator("details").all():
        details.evaluate("element => { element.open = true; }")
    page.wait_for_timeout(200)
    found = axe.run(page, options={"preload": False}).response["violations"]
    serious = [
        (one["id"], one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_a_page_whose_samples_are_missing_says_so(opened: Any, page_file: Path, tmp_path: Path) -> None:
    alone = tmp_path / "index.html"
    alone.write_text(page_file.read_text())
    page = opened.page
    page.goto(alone.as_uri())
    assert page.locator("#scores table").first.is_visible()
    assert len(opened.complaints) == 3 and all("ERR_FILE_NOT_FOUND" in one for one in opened.complaints)
    opened.complaints.clear()


def test_a_missing_piece_is_said_and_the_rest_works(opened: Any, tmp_path: Path) -> None:
    builder = RunBuilder(tmp_path / "run")
    builder.measure("mini-aime", "sft", [1, 2], text=lambda p, i: f"{p} {i} " + "word " * 300_000)
    page_file = write_report(builder.write())
    assert len(list((page_file.parent / "samples").glob("[0-9]*.js"))) == 8
    (page_file.parent / "samples" / "3.js").unlink()
    page = opened.open(page_file, "#sample/mini-aime/sft/p0/3")
    page.wait_for_selector("#viewer-problem-said:not([hidden])")
    assert "samples/3.js is missing" in page.locator("#viewer-problem-said").inner_text()
    page.evaluate("location.hash = '#sample/mini-aime/sft/p1/0'")
    page.wait_for_selector("#viewer-sample h3")
    assert opened.complaints and all("ERR_FILE_NOT_FOUND" in one for one in opened.complaints)
    opened.complaints.clear()


@pytest.fixture(scope="module")
def hostile_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose names, notes, problems and texts are hostile."""
    builder = RunBuilder(tmp_path_factory.mktemp("hostile") / "run")
    long = HOSTILE + "x" * 5_000_000
    texts = {
        0: HOSTILE,
        1: f"<think>{HOSTILE}</think>{HOSTILE}",
        2: long,
        3: "\\(" * 10_000 + "```a\n" * 5_000 + "$a " * 5_000 + "<think>" * 1000,
    }
    builder.measure("mini-aime", "rl-math", [1, 2], text=lambda problem, index: texts[index] + str(problem))
    builder.manifest |= {"name": HOSTILE, "model_note": HOSTILE, "notes": [HOSTILE], "versions": {HOSTILE: HOSTILE}}
    return write_report(builder.write())


@pytest.mark.parametrize("sample", range(4))
@pytest.mark.parametrize("as_written", [False, True])
def test_hostile_text_does_nothing(opened: Any, hostile_file: Path, sample: int, as_written: bool) -> None:
    page = opened.open(hostile_file)
    title = page.title()
    if as_written:
        page.evaluate("document.getElementById('viewer-as-written').checked = true")
    before = page.evaluate("performance.now()")
    page.evaluate(f"location.hash = '#sample/mini-aime/rl-math/p0/{sample}'")
    page.wait_for_selector("#viewer-sample h3")
    for details in page.locator("#viewer-sample details").all():
        details.evaluate("element => { element.open = true; }")
    page.wait_for_timeout(200)
    assert page.evaluate("performance.now()") - before < 10_000  # milliseconds; it does not hang
    page.evaluate("document.querySelectorAll('#viewer-sample a').forEach(link => link.click())")
    assert page.title() == title != "owned"
    inside = page.locator("#viewer-sample")
    assert inside.locator("script, img, iframe, object, a").count() == 0
    handlers = "[...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => a.name.startsWith('on'))).length"
    assert page.evaluate(handlers) == 0
    if sample < 2:
        assert "⟦U+202E⟧gnp.exe" in inside.inner_text() and "⟦U+2028⟧" in inside.inner_text()
        assert "\u202e" not in inside.inner_text()
        size = "Math.max(...[...document.querySelectorAll('#viewer-sample *')].map(e => e.getBoundingClientRect().height))"
        assert page.evaluate(size) < 20_000
    if sample == 2:
        assert "characters are left" in inside.inner_text()
        assert len(inside.inner_text()) < 250_000


def test_search_over_hostile_text_marks_it_as_text(opened: Any, hostile_file: Path) -> None:
    page = opened.open(hostile_file)
    page.fill("#viewer-query", "<script>document")
    page.locator("#viewer-query").press("Enter")
    expect(page.locator("#viewer-hits")).to_contain_text("(")
    assert page.locator("#viewer-rows mark").first.inner_text() == "<script>document"
    assert page.locator("#viewer-rows script").count() == 0


def test_no_script_of_the_page_can_make_html_from_a_text(opened: Any, hostile_file: Path) -> None:
    page = opened.open(hostile_file)
    outcome = page.evaluate("(() => { try { document.body.innerHTML = '<b>x</b>'; return 'made'; } catch (e) { return e.name; } })()")
    assert outcome == "TypeError"
    opened.complaints.clear()  # the browser reports the refusal
    other = page.evaluate("(() => { try { trustedTypes.createPolicy('other', {}); return 'made'; } catch (e) { return e.name; } })()")
    assert other == "TypeError"
    opened.complaints.clear()
