"""Plain statements of an answer in prose, and the piece of a sentence that is the value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from benchmarks.strict import doubts, phrases
from benchmarks.strict.layout import NAME, VALUE, masked, sentences
from benchmarks.strict.shapes import EXPRESSION

Wanted = Literal["value", "words", "choice"]

LONGEST_SENTENCE = 600
"""Characters of a sentence that are read."""
MOST_MARKERS = 12
"""So many markers are looked at, from the end, for one that is followed by an answer."""
MOST_WORDS = 2
"""Between a marker and a value behind a box: «the answer is thus 205», but not «it should be noted that 5 is prime»."""
CLOSING = 4_000
"""Characters at the end in which the closing statement is looked for."""


def is_value(text: str) -> bool:
    """Does the text begin with a number or mathematics (a currency or a sign may stand before it)?"""
    return re.match(rf"[\s({{\[$€£¥₹\\]*[-−–+±√]?\s*(?:\d|{VALUE}|\\[a-zA-Z]|π|[a-zA-Z]\s*=)", masked(text[:LONGEST_SENTENCE])) is not None


def clause_at(text: str, wanted: Wanted = "value") -> str:
    """The first clause of a text: to the end of its sentence or to the words that only comment on it."""
    sentence = next(sentences(text), "")[:LONGEST_SENTENCE]
    shadow = masked(sentence)
    ends = [len(sentence)]
    cases = re.search(r"\b(?:when|where|for)\b[^.]{1,80}\b(?:when|where|otherwise|if|for)\b", shadow)
    start = len(shadow) - len(shadow.lstrip(" ,:：("))
    if not cases and (comment := phrases.COMMENT.search(shadow, start + 1)) and comment.start() > start:
        ends.append(comment.start())
    word = r"[a-z]{2,}" if wanted == "value" else r"(?:so|it|he|she|they|we|as|with|making|giving|is|are)\b"
    goes_on = rf"(?:{phrases.OR}|{phrases.AND}|{phrases.MAYBE}|but|not|though|if|unless|otherwise)"
    for comma in re.finditer(rf",\s+(?!{goes_on}){word}", shadow[start:]):
        ends.append(start + comma.start())
    return _trimmed(sentence[: min(ends)])


def _trimmed(part: str) -> str:
    part = part.strip().strip("*`\"“”'").lstrip(" ,:：").rstrip(" ,;:")
    if not re.search(r"\b[ap]\.m\.$", part):
        part = part.rstrip(" .。")
        part = part if re.search(r"\d\s?[!！]$", part) else part.rstrip(" .。!！")
    for opening, closing in ("()", "[]"):
        if part.endswith(closing) and part.count(closing) > part.count(opening) and not part.endswith("\\" + closing):
            part = part[:-1].rstrip(" .")
    return phrases.PREDICATE_END.sub("", part)


def without_contrast(text: str, wanted: Wanted) -> str:
    """The text without values that are named only to be denied («204, not 205», «not 203 but 204»)."""
    text = doubts.CONTRAST_BEHIND.sub("", doubts.CONTRAST_AHEAD.sub(" ", text))
    return text if wanted == "value" else doubts.CONTRAST_OF_WORDS.sub("", text)


_LETTERS = re.compile(r"(?<![\w'’])[(\[]?((?!I\s[a-z])(?!A\s(?!(?:is|because|since|as|or|and)\b)[a-z])[A-J])[)\]]?(?![\w'’])")


def stated(clause: str, wanted: Wanted) -> str | None:
    """The answer in a clause that states one; None when there is none."""
    clause = _trimmed(clause[-LONGEST_SENTENCE:])
    while filler := phrases.FILLER.match(clause):
        clause = clause[filler.end() :]
    if wanted == "choice":
        letters = set(_LETTERS.findall(clause))
        plain = len(letters) == 1 and not doubts.CHOICE_DOUBT.search(clause) and phrases.LEADS_TO_LETTER.match(clause)
        return letters.pop() if plain else clause or None
    if wanted == "words":
        return clause or None
    return _value_in(clause, marked=True)


def _value_in(clause: str, start: int = 0, marked: bool = False) -> str | None:
    """The first value at or after `start`, with the words that qualify it; the whole clause where they follow it.

    `marked`: the clause stands behind «the answer is», so that a phrase before the value is what the answer is.
    """
    shadow = masked(clause)
    found = EXPRESSION.search(shadow, start)
    if found is None:
        return None
    before, after = shadow[start : found.start()], shadow[found.end() :]
    one_in = _OF_ANOTHER.match(after) and re.search(r"(?:\d|%|\bper\s?cent)\s*$", clause[: found.end()])
    behind = doubts.AFTER_VALUE.match(after) or phrases.OFFERS_MORE.search(after) or doubts.BEHIND_VALUE.search(shadow, found.start())
    if one_in or behind or doubts.LABELLED.search(before) or phrases.OR_AT_END.search(before):
        return clause[start:].strip()
    if marked and re.match(r"\W*[a-z]", before) and not phrases.LEADS_TO_VALUE.fullmatch(before):
        return clause.strip()  # «the answer is the number of subsets of a set of size 5»
    qualifier = doubts.QUALIFIER.search(before)
    first = start + qualifier.start() if qualifier else found.start()
    return _trimmed(clause[first : _token_end(shadow, found.end())]) if qualifier else _whole_tokens(clause, shadow, found)


_OF_ANOTHER = re.compile(r"\s*(?:in|to|of)\s+[\\$€£]*\d")


def _whole_tokens(clause: str, shadow: str, found: re.Match[str]) -> str:
    """The value with what is written together with it (`sqrt(2)`, `5e3`, `1011_2`)."""
    first = found.start()
    while first and re.match(r"[A-Za-z0-9_^\\(]", shadow[first - 1]):
        first -= 1
    return _trimmed(clause[first : _token_end(shadow, found.end())])


_WRITTEN_ON = re.compile(r"[A-Za-z0-9_^(₀-₉][A-Za-z0-9_^(){}+*/₀-₉-]*")


def _token_end(shadow: str, end: int) -> int:
    written_on = _WRITTEN_ON.match(shadow, end)
    return written_on.end() if written_on else end


_TAG = re.compile(r"<(?:final_?)?answer>\s*([^<]{1,2000}?)\s*</(?:final_?)?answer>", re.IGNORECASE)
_HASHES = re.compile(r"^[ \t]*####[ \t]*(?:(?:final\s+)?answer\s*:?\s*)?(\S[^\n]{0,300})$", re.MULTILINE | re.IGNORECASE)
_CHOSEN = re.compile(r"\b(?:option|choice|answer)\s*[(\[]?([A-J])[)\]]?\s+is\s+(?:the\s+)?(?:correct|right|answer)\b", re.IGNORECASE)


def marked_statement(text: str, wanted: Wanted, behind_box: bool = False) -> str | None:
    """What the last marker («the answer is», «答案：», `####`) says, unless a later sentence concludes something else.

    Behind a box only a marker counts, and only one that states a value.
    """
    for marker in sorted(_markers(text, wanted), key=re.Match.end)[: -MOST_MARKERS - 1 : -1]:
        end, said = _said_at(text, marker, wanted, behind_box)
        if said is not None:
            break
    else:
        return None
    if wanted == "value" and not behind_box:
        for sentence in sentences(text[end:]):
            if phrases.CONCLUSION.match(sentence) and not phrases.HARMLESS.match(sentence):
                said = closing_of(sentence[:LONGEST_SENTENCE], wanted) or said
    return said


def _markers(text: str, wanted: Wanted) -> Iterator[re.Match[str]]:
    for pattern in (_TAG, _HASHES, phrases.MARKER, phrases.MARKER_LINE):
        yield from pattern.finditer(text)
    if wanted == "choice":
        yield from _CHOSEN.finditer(text)


def _said_at(text: str, marker: re.Match[str], wanted: Wanted, behind_box: bool) -> tuple[int, str | None]:
    """Where the words of a marker end, and what they say; None where that is no answer («the answer is correct»)."""
    if marker.re is _TAG:
        return marker.end(), _trimmed(marker.group(1)) or None
    if marker.re is _CHOSEN:
        return marker.end(), marker.group(1).upper()
    if marker.re is _HASHES:
        line = marker.group(1)
        heading = re.match(r"(?:\d+[.)]\s|step\b)", line, re.IGNORECASE) or (wanted == "value" and not is_value(line))
        return marker.end(), None if heading else stated(line, wanted)
    rest = text[_behind(text, marker) :][: LONGEST_SENTENCE * 2]
    clause = clause_at(rest.lstrip(" \n:：=是为"), wanted)
    end = marker.end() + len(next(sentences(rest), ""))
    if not clause or phrases.TELLS_NOTHING.match(clause):
        return end, None
    asked = re.search(r"[?？]\W*$|吗\W*$", text[marker.end() : end][-20:])
    if doubts.CHECKS.search(text[max(0, marker.start() - 40) : marker.start()]):
        return end, None
    if asked or doubts.DOUBTED.search(text[max(0, marker.start() - 120) : marker.start()]):
        return end, None if behind_box else f"not {clause}"
    if wanted == "value" and behind_box:
        value = _value_in(clause, marked=True)
        words = len(re.findall(r"[a-z]{2,}", clause.partition(value or clause)[0]))
        return end, value if words <= MOST_WORDS else None
    if wanted == "value":
        return end, _value_in(clause, marked=True) or clause
    return end, stated(clause, wanted)


def _behind(text: str, marker: re.Match[str]) -> int:
    r"""Where a marker ends; in mathematics (`$\text{Answer: }5$`), where the formula starts."""
    start = max(0, marker.start() - LONGEST_SENTENCE)
    before = re.search(rf"[{VALUE}{NAME}]+$", masked(text[start : marker.end() + LONGEST_SENTENCE])[: marker.end() - start])
    return start + before.start() if before else marker.end()


def closing_statement(text: str, wanted: Wanted) -> str | None:
    """What the last sentence that states something says; a formula alone states itself."""
    shadow = masked(text.strip())
    if shadow and not shadow.strip("\ue000\ue001"):
        return text.strip()
    for sentence in reversed(list(sentences(text[-CLOSING:]))):
        if phrases.HARMLESS.match(sentence) or not re.search(r"\w|[\ue000-\uf8ff]", sentence):
            continue
        supposes = re.match(r"\s*(?:let|suppose|assume|consider|if)\b(?![^\n]*\bthen\b)", sentence, re.IGNORECASE)
        if supposes or sentence.rstrip(" *)").endswith(("?", "？")) or doubts.GAVE_UP.search(sentence):
            return None
        return closing_of(sentence[-LONGEST_SENTENCE:], wanted)
    return None


def closing_of(sentence: str, wanted: Wanted) -> str | None:
    """The answer in a closing sentence: a bare value, or what stands behind its last verb."""
    if wanted == "choice":
        return stated(clause_at(sentence, wanted), wanted)
    if wanted == "words":
        return _predicate(clause_at(sentence, wanted))
    clause = _trimmed(phrases.WORKING.sub("", sentence))
    while filler := phrases.FILLER.match(clause):
        clause = clause[filler.end() :]
    shadow = masked(clause)
    whole = EXPRESSION.match(shadow)
    if whole and not re.search(r"\w", shadow[whole.end() :]):
        return clause
    for comment in phrases.COMMENT.finditer(shadow):
        if EXPRESSION.search(shadow[: comment.start()]):
            clause, shadow = _trimmed(clause[: comment.start()]), shadow[: comment.start()].rstrip()
            break
    introduced = _introduction(shadow)
    clause, shadow = clause[introduced:], shadow[introduced:]
    values = list(EXPRESSION.finditer(shadow))
    if not values:
        return _in_words(clause)
    verbs = [verb.end() for verb in phrases.VERB.finditer(shadow) if verb.end() <= values[-1].start()]
    verbs = [verb for verb in verbs if not any(value.start() < verb < value.end() for value in values)]
    if len(values) > 1 and not verbs:
        return clause
    doubted = doubts.DOUBTED.search(shadow[: values[-1].start()])
    last_before = max((value.end() for value in values if verbs and value.end() <= verbs[-1]), default=0)
    negated = doubted or doubts.NEGATION.search(shadow[max(last_before, verbs[-1] - 14) if verbs else 0 : values[-1].start()])
    vague = verbs and doubts.VAGUE.search(shadow[max(last_before, verbs[-1] - 24) : verbs[-1]])
    return clause if negated or vague else _value_in(clause, verbs[-1] if verbs else 0)


def _introduction(shadow: str) -> int:
    """Where the value starts in «In base 8: 17» and «three hundred sixty-six, i.e. 366»; 0 for any other clause."""
    spelled = phrases.SPELLED.match(shadow)
    if spelled and phrases.NUMBER_WORD.search(spelled.group()):
        return 0 if doubts.NEGATION.search(spelled.group()) or doubts.VAGUE.search(spelled.group()) else spelled.end()
    label = re.match(r"[^:=\n]{1,60}(?<!\s):\s+", shadow)
    if label is None or re.search(rf"(?:{doubts.A_LABEL}|error|input|hint|ratio|odds|proportion)\b", label.group(), re.IGNORECASE):
        return 0
    value = EXPRESSION.match(shadow, label.end())  # a full match would try all ways to split a hostile text
    return label.end() if value and value.end() == len(shadow) else 0


_NUMBER_FIRST = re.compile(
    rf"({phrases.NUMBER_WORD.pattern}\s+(?!(?:half|thirds?|quarters?|of|and|or|more|less)\b|hundred|thousand|million"
    rf"|percent)[a-z]+)\s+[a-z]",
    re.IGNORECASE,
)
"""«Ten men stay upright»: the subject of a sentence without digits."""


def _in_words(clause: str) -> str | None:
    """A value in words behind the last verb («five», «no solution»), when it is short."""
    if (subject := _NUMBER_FIRST.match(clause)) and not phrases.NUMBER_WORD.search(clause, subject.end(1)):
        return subject[1]
    verbs = [verb.end() for verb in phrases.VERB.finditer(clause)]
    said = clause[verbs[-1] if verbs else 0 :].strip()
    return said if len(said.split()) <= 5 and phrases.NUMBER_WORD.search(said) else None


def _predicate(clause: str) -> str | None:
    """For words: what is said of something («The function is even»), or who it is said of («Evelyn is the fastest»)."""
    while filler := phrases.FILLER.match(clause):
        clause = clause[filler.end() :]
    if (winner := phrases.WINNER.match(clause)) and not doubts.NEGATION.search(clause):
        return winner["who"]
    verbs = list(re.finditer(r"\b(?:is|are|was|were|be|must\s+be)\s+|(?<=[\u4e00-\u9fff])(?:是|为)", clause))
    if not verbs:
        return clause or None
    predicate = clause[verbs[-1].end() :].strip()
    if re.match(r"the\s+(?:\w+est|most|least|only|one|correct|winner|student|person)\b", predicate, re.IGNORECASE):
        return clause[: verbs[-1].start()].strip() or None
    return predicate or None
