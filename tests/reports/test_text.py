"""Hostile text becomes harmless: visible, cut, fenced, escaped."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.text import cut, fenced, markdown, visible


@pytest.mark.parametrize(
    "character", ["\u202e", "\u2066", "\u200b", "\x00", "\x1b", "\u2028", "\ufeff", "\ud800", "\r"]
)
def test_characters_that_act_unseen_are_written_out(character: str) -> None:
    shown = visible(f"a{character}b")
    assert shown == f"a⟦U+{ord(character):04X}⟧b"


def test_ordinary_text_stays_as_it_is() -> None:
    text = "x ≤ 3 → 答え: é\n\tprint('hi') 😀"
    assert visible(text) == text
    assert visible("a\r\nb") == "a\nb"


@given(st.text(st.characters(codec=None, categories=None)))
def test_visible_text_can_be_stored_and_is_stable(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert visible(shown) == shown


def test_long_text_is_cut_in_the_middle_with_a_note() -> None:
    shown = cut("a" * 5_000_000 + "END", keep=300)
    assert len(shown) < 400
    assert "4,999,703 characters left out" in shown
    assert shown.endswith("END")
    assert cut("short") == "short"


@given(st.text(alphabet="`~ab\n", max_size=60))
def test_no_line_inside_closes_its_fence(text: str) -> None:
    block = fenced(text)
    fence = block.split("\n", 1)[0]
    inside = block[len(fence) + 1 : -len(fence) - 1]
    assert set(fence) == {"`"} and len(fence) >= 3
    assert inside == text
    assert not re.search(f"`{{{len(fence)},}}", inside)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a | b", r"a \| b"),
        ("<script>", "&lt;script&gt;"),
        ("[x](javascript:alert(1))", r"\[x\](javascript:alert(1))"),
        ("![x](y)", r"!\[x\](y)"),
        ("https://example.org", "https<!-- -->://example.org"),
        ("www.example.org", "www<!-- -->.example.org"),
        ("_http://a.b", "\\_http<!-- -->://a.b"),
        ("user@evil.example avg@64", "user@<!-- -->evil.example avg\\@64"),
        ("@someone #12", r"@<!-- -->someone \#12"),
        ("_http://a.b", r"\_http<!-- -->://a.b"),
        ("user@evil.example avg@64", r"user@<!-- -->evil.example avg\@64"),
        ("two\nlines", "two lines"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("---", r"\---"),
        ("83.2", "83.2"),
        ("−1.0 to +2.0", "−1.0 to +2.0"),
        ("-5 %", "-5 %"),
    ],
)
def test_markdown_shows_text_as_it_is(text: str, shown: str) -> None:
    assert markdown(text) == shown
