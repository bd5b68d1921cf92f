"""Characters outside ASCII as models write them, in the ASCII and LaTeX spelling that the reader of answers knows.

The Unicode Character Database decides for digits, superscripts and full-width forms; the table holds mathematical signs.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_SIGNS: dict[str, str] = {
    **dict.fromkeys("−–‐‑‒－﹣﹘", "-"),
    **dict.fromkeys("＋﹢", "+"),
    **dict.fromkeys("×⋅·∙✕✖⨯∗＊•・", "*"),
    **dict.fromkeys("÷∕⁄／", "/"),
    **dict.fromkeys("＝﹦", "="),
    "≤": "\\le ", "≦": "\\le ", "⩽": "\\le ", "≥": "\\ge ", "≧": "\\ge ", "⩾": "\\ge ", "≠": "\\ne ", "≈": "\\approx ",
    "≃": "\\approx ", "≅": "\\cong ", "≡": "\\equiv ", "∼": "\\sim ", "～": "\\sim ", "∈": "\\in ", "∉": "\\notin ", "∪": "\\cup ",
    "∩": "\\cap ", "∖": "\\setminus ", "∞": "\\infty ", "∅": "\\emptyset ", "±": "\\pm ", "∓": "\\mp ", "√": "\\sqrt ",
    "∛": "\\sqrt[3]", "∜": "\\sqrt[4]", "∑": "\\sum ", "∏": "\\prod ", "∫": "\\int ", "°": "\\degree ", "∘": "\\degree ",
    "º": "\\degree ", "˚": "\\degree ", "…": "\\ldots ", "⋯": "\\ldots ", "→": "\\to ", "⇒": "\\Rightarrow ", "∠": "\\angle ",
    "ℝ": "\\mathbb{R}", "ℤ": "\\mathbb{Z}", "ℚ": "\\mathbb{Q}", "ℕ": "\\mathbb{N}", "ℂ": "\\mathbb{C}", "∨": "\\lor ", "∧": "\\land ",
    "⌊": "\\lfloor ", "⌋": "\\rfloor ", "⌈": "\\lceil ", "⌉": "\\rceil ", "⟨": "\\langle ", "⟩": "\\rangle ", "〈": "\\langle ",
    "〉": "\\rangle ", "∣": "|", "｜": "|", "¢": "\\cent ", "￠": "\\cent ", "€": "\\euro ", "£": "\\pounds ", "￡": "\\pounds ",
    "¥": "\\yen ", "￥": "\\yen ", "₹": "\\rupee ", "％": "%", "‰": "\\permille ", "，": ", ", "、": ", ", "；": "; ", "：": ":",
    "。": ". ", "（": "(", "）": ")", "［": "[", "］": "]", "｛": "\\{", "｝": "\\}", "【": "[", "】": "]", "″": "''", "′": "'",
    "“": '"', "”": '"', "‘": "'", "’": "'", "∴": "\\therefore ", "✓": "\\checkmark ", "✔": "\\checkmark ", "✅": "\\checkmark ",
    "■": "\\blacksquare ", "∎": "\\blacksquare ", "□": "\\square ", "ﬁ": "fi", "ﬂ": "fl", "µ": "\\mu ", "∂": "\\partial ",
    "ℓ": "\\ell ", "﹪": "%", "＄": "\\$", "﹩": "\\$", "ı": "i", "—": "\\textemdash ",
}  # fmt: skip
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega theta phi epsilon"
)
_GREEK = dict(zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩϑϕϵ", _GREEK_NAMES.split(), strict=True))
_SIGNS |= {character: f"\\{name} " for character, name in _GREEK.items()}
_THIN_SPACES = "\u00a0\u2007\u2009\u202f"
"""Spaces that group digits."""


@lru_cache(4096)
def _spelled(character: str) -> str:
    """One character outside ASCII as text in ASCII and LaTeX; itself if it is no mathematics."""
    if character in _SIGNS:
        return _SIGNS[character]
    if character in _THIN_SPACES:
        return "\\,"
    category = unicodedata.category(character)
    if category == "Cf":  # joiners, directional marks, soft hyphens
        return ""
    if category == "Mn":
        return character
    if category in ("Zs", "Zl", "Zp", "Cc"):
        return " "
    if category == "Nd":
        return str(unicodedata.digit(character))
    kind, _, mapped = unicodedata.decomposition(character).partition("> ")
    if mapped and kind in ("<super", "<sub"):
        mark = "^" if kind == "<super" else "_"
        return mark + "{" + "".join(_spelled(chr(int(code, 16))) for code in mapped.split()) + "}"
    if mapped and kind == "<fraction":
        top, slash, bottom = "".join(chr(int(code, 16)) for code in mapped.split()).partition("\u2044")
        return f"\\vulgar{{{top}}}{{{bottom}}}" if slash and bottom else character
    if mapped and kind in ("<wide", "<font", "<narrow", "<small"):
        return "".join(spelled(chr(int(code, 16))) for code in mapped.split())
    return character


def spelled(text: str) -> str:
    r"""The text in ASCII and LaTeX as far as it is mathematics: `√2` → `\sqrt 2`, `x²` → `x^{2}`, `½` → `\vulgar{1}{2}`, `４२` → `42`.

    `\vulgar` is this project's own: a fraction that makes a mixed number of the integer before it.
    Roman numerals and letters of other scripts stay as they are.
    """
    if text.isascii():
        return text
    text = "".join(character if character < "\x7f" else _spelled(character) for character in text)
    for mark in "^_":  # ¹⁰ is one exponent
        text = re.sub(rf"(?<=\d)\}}\{mark}\{{(?=[-+\d])", "", text)
        text = text.replace(f"-}}{mark}{{", "-")
    text = re.sub(r"\^\{(\d+)\}/_\{(\d+)\}", r"\\vulgar{\1}{\2}", text)  # ¹¹⁄₃₆
    return text
