"""Answers that are a choice letter or words."""

from __future__ import annotations

import re
import unicodedata

from benchmarks.strict.gold import Gold
from benchmarks.strict.parts import choice_label, enclosed, letters_of, opened, trimmed, without_remark, without_words_before
from benchmarks.strict.tokens import Tokens
from benchmarks.strict.units import is_qualifier


def same_choice(given: Tokens, gold: Gold) -> bool:
    """Does an answer choose the letter of the gold?"""
    return (letter := _choice(given)) is not None and letter == _choice(gold.tokens)


def _choice(tokens: Tokens) -> str | None:
    tokens = opened(trimmed(tokens))
    tokens = tokens if choice_label(tokens) else without_words_before(tokens)
    if place := choice_label(tokens):
        letters = [token.text or token.args[0][0].text for token in tokens[:place] if token.kind in ("word", "run", "group")]
        return letters[0] if letters and not _takes_back(tokens[place:]) else None
    words = [token for token in tokens if letters_of(token) not in ("option", "choice", "answer", "选项")]
    if enclosed(tuple(words)) in ("()", "[]"):
        words = words[1:-1]
    if len(words) > 1 and words[0].kind == "group" and words[1].kind == "num" and words[1].spaced and not _takes_back(tuple(words[1:])):
        words = list(trimmed(tuple(words[:1])))  # \mathbf{B} 12
    if len(words) == 1 and words[0].kind in ("word", "run") and len(words[0].text) == 1:
        return words[0].text.upper()
    return None


def _takes_back(rest: Tokens) -> bool:
    """Does what stands behind a choice letter offer another, or doubt it?"""
    return any(
        token.kind == "sep"
        or (token.kind == "unknown" and token.text == "?")
        or is_qualifier(letters_of(token))
        or (token.kind in ("word", "run") and len(token.text) == 1 and "A" <= token.text <= "J")
        or letters_of(token) in ("eliminated", "rejected", "excluded", "wrong", "incorrect", "false", "no")
        for token in rest
    )


_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_ARTICLES = {"a", "an", "the", "due", "is", "are", "it", "only", "just"}


_SAME_WORDS = {
    "dne": "does not exist", "undefined": "does not exist", "none": "no solution", "no solutions": "no solution",
    "no real solution": "no solution", "no real solutions": "no solution", "no such number": "no solution",
    "no solutions exist": "no solution", "no solution exists": "no solution",
}  # fmt: skip


def same_text(given: Tokens, gold: Gold) -> bool:
    """Does an answer say the words of the gold, without articles and perhaps behind a label?"""
    wanted = _words(gold.tokens)
    found = _words(given)
    if not wanted or not found:
        return False
    if found == wanted:
        return True
    if found.removesuffix(" function").removesuffix(" number") == wanted:
        return True
    if wanted in ("yes", "no", "true", "false") and _opens_with(given, wanted):
        return True
    labelled = without_words_before(given)
    return labelled != given and _words(labelled) == wanted and _is_about_the_answer(given[: len(given) - len(labelled)])


_SAID_AGAIN = "it is always this that they are we can the possible true correct right there exists exist does do such a an indeed holds"
_AGREES = frozenset(_SAID_AGAIN.split())
_DENYING = "not no cannot impossible never none incorrect false can't doesn't isn't don't aren't"
_DENIES = frozenset(_DENYING.split())


def _opens_with(given: Tokens, word: str) -> bool:
    """«Yes, it is possible», «No, it is not»: the word, and behind a comma or a full stop only words that say the same again."""
    given = trimmed(given)
    if len(given) < 3 or letters_of(given[0]) != word or given[1].text not in (",", ";", ".", "-", ":", "!"):
        return False
    rest = [letters_of(token) for token in given[2:] if token.text not in (".", "!")]
    if word in ("yes", "true"):
        return all(said in _AGREES for said in rest)
    return all(said in _AGREES | _DENIES for said in rest) and sum(said in _DENIES for said in rest) == 1


_GENERAL = """
answer final result solution correct right value choice it this that these they there he she we i is are was were be must can should the a
an thus so hence therefore then and function number numbers integer sequence series graph curve shape conic section equation figure
polynomial matrix triangle quadrilateral polygon angle solid surface set relation statement claim assertion sentence proposition day month
weekday date time person student player winner team runner name word colour color letter sum product total parity type kind required
expression group ring game direction position place has have problem system lines line planes plane vectors vector circles distribution
event events by symmetry of for to
"""
_ABOUT_THE_ANSWER = frozenset(_GENERAL.split())


def _is_about_the_answer(label: Tokens) -> bool:
    """Does a label name what was asked for («the function is»), rather than something else («the loser is», «yesterday was»)?"""
    return all(word in _ABOUT_THE_ANSWER or len(word) == 1 or not word.isascii() for token in label if (word := letters_of(token)))


def _words(tokens: Tokens) -> str:
    """The letters and digits of the words in one string, without articles.  Empty if the tokens are a formula."""
    tokens, beside = without_remark(trimmed(tokens))
    if beside:
        return ""
    if not tokens or (len(tokens) == 1 and tokens[0].text == "emptyset") or [token.text for token in tokens] == ["{", "}"]:
        return "no solution" if tokens else ""
    found = []
    for place, token in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else None
        if token.kind == "group":
            found.append(_words(token.args[0]))
        elif token.kind == "num":
            found.append(str(token.value))
        elif token.kind == "op" and token.text == "-" and following is not None and following.kind == "num":
            return ""
        elif token.kind in ("rel", "op", "unknown", "sep") and token.text in (":", "-", "'", ".", ",", '"', "and", "or"):
            found.append(token.text if token.text in (":", "and", "or") else "")
        elif token.kind in ("word", "run", "name", "function"):
            article = token.text in _ARTICLES and following is not None and len(letters_of(following)) > 1
            article = article or (token.text in ("A", "An", "The") and place == 0 and following is not None)
            found.append("" if article else unicodedata.normalize("NFKC", token.text).casefold())
        elif token.kind in ("open", "close") and token.text in "()":
            continue
        else:
            return ""
    words = " ".join(part for part in (re.sub(r"[^\w:]", "", part) for part in found) if part)
    words = re.sub(r"\b(\d+) (?:st|nd|rd|th)\b", r"\1", words).removeprefix("on ")
    words = re.sub(rf"\b(\d{{1,2}}) (?:of )?({_MONTHS})\b", r"\2 \1", words)
    joined = re.sub(r"(?<=\b\w) (?=\w\b)", "", words)  # «p. m.» is «pm»
    return _SAME_WORDS.get(joined, joined)
