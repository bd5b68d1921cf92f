"""Whole numbers in English words: «four hundred and sixty»."""

from __future__ import annotations

from collections.abc import Sequence

_SMALL = {
    word: number
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
} | {word: 20 + 10 * place for place, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"])}
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}


def number_in_words(words: Sequence[str]) -> int | None:
    """The number that all the words together are; None if they are anything else."""
    total = group = 0
    said = False
    for word in (part for word in words for part in word.lower().split("-")):
        if word in _SMALL:
            group += _SMALL[word]
            said = True
        elif word == "hundred" and said:
            group = (group or 1) * 100
        elif word in _LARGE and said:
            total, group = total + group * _LARGE[word], 0
        elif word != "and" or not said:
            return None
    return total + group if said else None
