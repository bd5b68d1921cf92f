r"""The shape of a value in prose: numbers, masked mathematics and plain formulas, with their units, joined to lists."""

from __future__ import annotations

import re

from benchmarks.strict import phrases
from benchmarks.strict.layout import NAME, VALUE

_NUMBER = (
    r"(?:\\?[$€£¥₹₽]\s?)?(?:[0-9\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\uff10-\uff19]+(?:(?:[.,:٫·](?=\d)|\{,\}|(?:\\,"
    r"|[\u00a0\u202f ])(?=\d{3}(?!\d)))\d+)*|\.\d+)"
    r"(?:\s+\d+/\d+)?(?:st|nd|rd|th)?(?![a-zA-Z_]*\d)"
)
_LETTER = r"(?<![a-zA-Z\\'’])[a-zA-Z](?:_\w)?(?![a-zA-Z'’])"
_TERM = (
    rf"(?:[-−–+±√({{\[]\s?){{0,3}}(?:{VALUE}+|{_NUMBER}|π|∞|∅|½|¼|¾|⅓|⅔|\\\w+(?:\{{[^{{}}]*\}}){{0,2}})(?:[)!\]}}²³⁰¹⁴-⁹°%‰]|\s?[€£¥₽]"
    rf"|\\%|\s%)*"
)
_OPERATOR = r"\s*(?:[-−–+*/^=<>≤≥≠≈×·÷,]|(?<=\s):|:(?!\s)|\\(?:times|cdot|pm)|\*\*)\s*"
_RUN = (
    rf"(?:(?:{_LETTER}|{NAME}+|\([\w, ]{{1,12}}\))\s*(?:[-=<>≤≥≠≈∈+^*/]|\\approx)\s*)*{_TERM}(?:(?:{_OPERATOR})?(?:{_TERM}"
    rf"|{_LETTER}(?=\s*[-+*/^=<>≤≥≠²³)\d.,;]|\s*$)))*[)\]}}]*"
)
_LATIN_UNIT = (
    r"(?:[ap]\.m\.?|(?:sq|cu|fl)\.[ ]?[a-z]{1,6}|[a-zA-Zа-яёА-Яà-ÿ°²³'’]{1,20}(?:[²³]|\^[23])?(?:/[a-zA-Z]{1,8}|\s+per\s+[a-z]{1,12})?)"
)
_UNIT = (
    rf"(?:(?:(?![或和与者及])[\u3040-\u9fff\uac00-\ud7a3]){{1,6}}|\s?\\text\s*\{{[^{{}}]{{0,30}}\}}"
    rf"|(?:[ \t]?[µμ]?(?!{phrases.UNIT_STOP.pattern}){_LATIN_UNIT}){{0,3}})"
)
_JOIN = rf"[\s,;、，(（]*(?:{phrases.OR}|{phrases.AND}|[,;、，])(?:[\s,]*{phrases.MAYBE})*\s*"
EXPRESSION = re.compile(rf"{_RUN}(?:{_UNIT})?(?:{_JOIN}{_RUN}(?:{_UNIT})?)*(?:\s(?=\d){_RUN}(?:{_UNIT})?)*", re.IGNORECASE)
