"""Numbers in words: English («four hundred and sixty», «two thirds») and Chinese («二百零四», «二分之一»)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {name: number for number, name in enumerate(_ONES.split())} | {name: 20 + 10 * place for place, name in enumerate(_TENS.split())}
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    "half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10,
    "twelfth": 12, "twentieth": 20, "hundredth": 100, "thousandth": 1000, "halve": 2,
}  # fmt: skip
_CHINESE = {character: number for number, character in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_CHINESE_UNITS = {"十": 10, "百": 100, "千": 1000}
_CHINESE_LARGE = {"万": 10**4, "亿": 10**8}
_COUNTED_BY = frozenset("个個人名位种種次天只条元块张本组件棵辆岁年米克度")
"""What stands behind a number in Chinese: measure words and units."""
_CHINESE_NUMBER = re.compile("[零一二三四五六七八九两〇十百千万亿]{1,20}")


def number_in_words(words: Sequence[str]) -> Fraction | None:
    """The number that all words together say; None if they say anything else."""
    if len(words) == 1 and not words[0].isascii():
        return _chinese(words[0])
    parts = [part for word in words for part in word.lower().split("-")]
    if len(parts) > 1 and parts[0] in ("a", "an") and (parts[1] == "hundred" or parts[1] in _LARGE):
        parts[0] = "one"  # a million
    if len(parts) > 1 and parts[0] in ("negative", "minus"):
        positive = None if parts[1] in ("negative", "minus") else number_in_words(parts[1:])
        return None if positive is None else -positive
    if "point" in parts:
        return _with_decimals(parts)
    for place, word in enumerate(parts[:-2]):
        if word == "and" and (whole := _whole(parts[:place])) is not None and (rest := _part(parts[place + 1 :])) is not None and rest < 1:
            return whole + rest
    return Fraction(1, 2) if parts == ["half"] else _part(parts) if len(parts) > 1 and is_part(parts[-1]) else _whole(parts)


def is_part(word: str) -> bool:
    """Is it a word such as «third», singular or plural?"""
    return word.removesuffix("s") in _PARTS


def _part(parts: Sequence[str]) -> Fraction | None:
    """«two thirds», «a half»."""
    if len(parts) < 2 or not is_part(parts[-1]):
        return None
    above = Fraction(1) if parts[:-1] in (["a"], ["an"]) else _whole(parts[:-1])
    if above is None or (above != 1 and not parts[-1].endswith("s")):
        return None  # «twenty-fifth»
    return above / _PARTS[parts[-1].removesuffix("s")]


def _with_decimals(parts: Sequence[str]) -> Fraction | None:
    """«three point one four»."""
    place = parts.index("point")
    whole = Fraction(0) if place == 0 else _whole(parts[:place])
    digits = [_SMALL.get(word, 10) for word in parts[place + 1 :]]
    if whole is None or not digits or max(digits) > 9:
        return None
    return whole + Fraction(int("".join(map(str, digits))), 10 ** len(digits))


def _whole(parts: Sequence[str]) -> Fraction | None:
    total = group = below = 0
    free = 10**12
    said = False
    for place, word in enumerate(parts):
        if word in _SMALL:
            size = _SMALL[word]
            if size >= free or (size == 0 and len(parts) > 1):
                return None  # «four five»
            group, free, said = group + size, 10 if size >= 20 else 0, True
        elif word == "hundred" and said and 0 < group < 100:
            group, free = group * 100, 100
        elif word in _LARGE and said and group and _LARGE[word] < (below or 10**18):
            total, group, free, below = total + group * _LARGE[word], 0, 10**12, _LARGE[word]
        elif word != "and" or place == 0 or not (parts[place - 1] == "hundred" or parts[place - 1] in _LARGE):
            return None
    return Fraction(total + group) if said and parts[-1] != "and" else None


def without_measure_word(word: str) -> tuple[str, str]:
    """A number in Chinese characters and its measure word («九个» as «九» and «个»); the word and nothing if it is no such pair."""
    number = _CHINESE_NUMBER.match(word)
    if number is None or word[number.end() :] not in _COUNTED_BY:
        return word, ""
    return number.group(), word[number.end() :]


def _chinese(text: str) -> Fraction | None:
    """The number in Chinese characters; 分之 makes a fraction, with the denominator before it."""
    below, between, above = text.partition("分之")
    if between:
        bottom, top = _chinese_whole(below), _chinese_whole(above)
        return Fraction(top, bottom) if top is not None and bottom else None
    whole = _chinese_whole(text)
    return None if whole is None else Fraction(whole)


def _chinese_whole(text: str) -> int | None:
    if not _CHINESE_NUMBER.fullmatch(text):
        return None
    if len(text) > 1 and all(character in _CHINESE for character in text):
        return int("".join(str(_CHINESE[character]) for character in text))  # 二零四
    if re.search(r"[百千万亿][一二三四五六七八九两]$", text):
        return None  # 三千五 may be 3500
    total = group = digit = 0
    for character in text:
        if character in _CHINESE:
            digit = _CHINESE[character]
        elif character in _CHINESE_UNITS:
            group, digit = group + (digit or 1) * _CHINESE_UNITS[character], 0
        else:
            total, group, digit = (total + group + digit) * _CHINESE_LARGE[character], 0, 0
    return total + group + digit
