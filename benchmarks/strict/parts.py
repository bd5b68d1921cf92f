"""The parts of an answer outside brackets: members of relations and lists, labels, remarks, choice letters."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from benchmarks.strict.expressions import matching
from benchmarks.strict.number_words import is_part, number_in_words
from benchmarks.strict.tokens import Token, Tokens, Unreadable
from benchmarks.strict.units import UNIT_WORDS, is_qualifier, is_unit_word

_COPULAS = """
is are equals equal be was were gives has 为 是 等于 est es é ist sono è son sont являются равно равна равен becomes
answer total option choice result of 答案 therefore thus so hence get have 共 有
"""
COPULAS = frozenset(_COPULAS.split())
"""Words with which a label ends."""


_TRAILING = {".", "`", '"', "}"}


def trimmed(tokens: Tokens) -> Tokens:
    """Without what decorates an answer as a whole: groups, quotes, a full stop, separators at the ends."""
    while tokens:
        if len(tokens) == 1 and tokens[0].kind == "group":
            tokens = tokens[0].args[0]
        elif (
            tokens[-1].kind == "unknown" and tokens[-1].text in _TRAILING
        ):
            tokens = tokens[:-1]
        elif tokens[0].kind == "unknown" and tokens[0].text in ("`", '"', "&"):
            tokens = tokens[1:]
        elif tokens[-1].kind == "sep":
            tokens = tokens[:-1]
        elif (
            tokens[0].kind == "sep"
            or (tokens[0].kind == "rel" and tokens[0].text in "=:→⇒")
            or tokens[0] == Token("op", "*")
            or tokens[0].kind == "op"
            and tokens[0].text == "'"
            and tokens[-1].kind == "op"
        ):
            tokens = tokens[1:]
        else:
            break
    return tokens


def enclosed(tokens: Tokens) -> str | None:
    """The kinds of bracket that enclose the whole, such as `()` or `[)`; None if nothing does."""
    if len(tokens) < 2 or tokens[0].kind != "open" or tokens[-1].kind != "close":
        return None
    try:
        return tokens[0].text + tokens[-1].text if matching(tokens, 0) == len(tokens) - 1 else None
    except Unreadable:
        return None


def at_top(tokens: Tokens) -> Iterator[tuple[int, Token]]:
    """Tokens outside brackets, with their places."""
    depth = 0
    for place, token in enumerate(tokens):
        if token.kind == "close":
            depth -= 1
        if depth == 0:
            yield place, token
        if token.kind == "open":
            depth += 1


def cut(tokens: Tokens, kind: str, texts: str | tuple[str, ...]) -> list[Tokens]:
    """The tokens between those of a kind outside brackets."""
    parts, start = [], 0
    for place, token in at_top(tokens):
        if token.kind == kind and token.text in texts:
            parts.append(tokens[start:place])
            start = place + 1
    return [*parts, tokens[start:]]


def list_parts(given: Tokens) -> list[Tokens]:
    """What stands between commas, semicolons, «and», «or» and row breaks, without what is empty."""
    return [part for part in (trimmed(part) for part in cut(given, "sep", (",", ";", "and", "or", "row"))) if part]


def letters_of(token: Token) -> str:
    """The word that a token is, in small letters; empty for anything else."""
    return token.text.lower() if token.kind in ("word", "run") or (token.kind == "function" and token.text in ("min", "sec", "max")) else ""


def qualified(tokens: Tokens) -> bool:
    """Does a word say that this is not the plain value («at least», «not», «if»)?"""
    return any(token.kind in ("word", "run") and len(token.text) > 1 and is_qualifier(token.text.lower()) for token in tokens)


def without_words_before(tokens: Tokens) -> Tokens:
    """What follows a label in words that ends in a verb or a colon: `\text{The answer is }460`, `\text{Total: }5`."""
    end = 0
    for place, token in at_top(tokens):
        word = letters_of(token)
        if ((word in COPULAS or word.endswith(("是", "为", "等于", "共有", "得"))) and (token.kind == "word" or len(word) > 1)) or (
            token.kind == "rel" and token.text == ":" and place
        ):
            if all(_is_label(before) for before in tokens[:place]) and any(letters_of(before) for before in tokens[: place + 1]):
                end = place + 1
        elif not _is_label(token):
            break
    if end and (qualified(tokens[:end]) or _names_another(tokens[:end]) or (tokens[0].kind, tokens[0].text) == ("op", "-")):
        raise Unreadable("a bound, a denial or another quantity")
    return trimmed(tokens[end:]) if end and end < len(tokens) else tokens


_NO_OTHER = frozenset(["the", "only", "unique", "solution", "answer", "root", "value", "exact", "exactly", "is"])
"""Words of a remark that says no more than that this is the answer."""
_OTHERS = """
negative reciprocal square squared cube opposite inverse logarithm log root half twice double before after nobody no-one someone everybody
doubtful said says claim claimed false wrong without minus plus sum difference
"""
_OTHER_QUANTITY = frozenset(_OTHERS.split())
_NO_LABELS = """
previous candidate impossible untrue overestimate underestimate approximation estimate rounded hypothesis rejected exceeds multiple
forbidden contradiction reject exclude suppose assume assuming converse negation not
factor fausse falsch guess mistake error bound opposite false doubtful nobody someone said says claimed wrong incorrect attempt
"""
NEVER_A_LABEL = frozenset(_NO_LABELS.split())
"""Words of what is no answer, or another one."""
_APPROXIMATELY = frozenset(["approx", "approximately", "about", "roughly", "around", "nearly"])


def _names_another(label: Tokens) -> bool:
    """Does a label name another quantity than the answer («the square of the answer is», «a common mistake is»)?"""
    listed = [letters_of(token) for token in label]
    words = set(listed)
    if "of" in listed and "answer" in listed[listed.index("of") :]:
        return True
    if any(is_part(word) and following == "of" for word, following in pairwise(listed)) or ("such", "that") in pairwise(listed):
        return True
    if listed and listed[-1] == "of" and (listed.count("of") > 1 or words & _OTHER_QUANTITY):
        return True
    return bool(words & NEVER_A_LABEL) or (bool(words & {"answer", "result"}) and bool(words & _OTHER_QUANTITY))


def _is_label(token: Token) -> bool:
    return token.kind in ("word", "run", "name", "function", "accent", "bar", "open", "close", "sub") or (
        token.kind in ("op", "sep") and token.text in ("'", "-", ",")
    )


def without_remark(tokens: Tokens) -> tuple[Tokens, tuple[Tokens, ...]]:
    """The tokens without a remark in brackets behind the value, and the other values that the remark offers."""
    beside: list[Tokens] = []
    while len(tokens) > 2:
        if tokens[-1].kind == "remark":
            tokens = _reduced(tokens[:-1], tokens[-1].args[0])
            continue
        mod = next((place for place, token in at_top(tokens) if letters_of(token) in ("mod", "modulo") and place), None)
        if mod is not None and not any(token.kind == "rel" for token in tokens[mod:]):
            tokens = _reduced(tokens[:mod], tokens[mod + 1 :])
            continue
        start = last_bracket(tokens)
        if start is None or start == 0 or not _is_remark(tokens[start + 1 : -1]):
            break
        inside, tokens = tokens[start + 1 : -1], trimmed(tokens[:start])
        if letters_of(inside[0]) in ("mod", "modulo"):
            tokens = _reduced(tokens, inside[1:])
        elif inside[0].kind in ("sep", "rel") and inside[0].text in ("or", "="):
            beside.append(trimmed(inside))
        elif {letters_of(token) for token in inside} <= _NO_OTHER:
            continue
        elif number_in_words([letters_of(token) for token in inside]) is not None:
            beside.append(inside)
        elif letters_of(inside[0]) in UNIT_WORDS | {"base"}:
            tokens = (*tokens, *inside)
            break
        elif not (inside[0].kind == "rel" or letters_of(inside[0]) in _APPROXIMATELY):
            raise Unreadable("a remark that may change the value")
    if len(tokens) > 1 and tokens[-1].kind == "remark":
        tokens = _reduced(tokens[:-1], tokens[-1].args[0])
    return tokens, tuple(beside)


def without_words(tokens: Tokens) -> Tokens:
    """Without label and remark in words.  Raises Unreadable for a remark that offers something else."""
    tokens, beside = without_remark(without_words_before(tokens))
    if beside:
        raise Unreadable("a remark with another answer")
    return tokens


def _reduced(tokens: Tokens, modulus: Tokens) -> Tokens:
    """The residue before a modulus.  Raises Unreadable if it is none (113 mod 5 is 3)."""
    number, bound = (side[0].value if len(side) == 1 else None for side in (tokens, modulus))
    if number is not None and bound is not None and number >= bound:
        raise Unreadable("a number that is not reduced")
    return tokens


def last_bracket(tokens: Tokens) -> int | None:
    """The place of the round bracket that the tokens' last one closes; None if they end otherwise."""
    if tokens[-1].kind != "close" or tokens[-1].text != ")":
        return None
    depth = 0
    for place in range(len(tokens) - 1, -1, -1):
        depth += (tokens[place].kind == "close") - (tokens[place].kind == "open")
        if depth == 0:
            return place
    return None


def _is_remark(inside: Tokens) -> bool:
    if not inside:
        return False
    first = inside[0]
    return (
        first.kind == "word"
        or (first.kind == "run" and is_unit_word(first.text))
        or (first.kind in ("rel", "sep") and first.text in ("≈", "or", "~"))
        or (first.kind == "rel" and first.text == "=" and len(inside) > 1)
    )


def members(tokens: Tokens) -> tuple[list[Tokens], list[str]]:
    """The members of a chain of relations outside brackets, and the relations between them."""
    parts, relations, start = [], [], 0
    for place, token in at_top(tokens):
        if token.kind == "rel":
            parts.append(tokens[start:place])
            relations.append(token.text)
            start = place + 1
    return [*parts, tokens[start:]], relations


def may_be_name(tokens: Tokens) -> bool:
    r"""May a side of an equation be what the other side is called: `(x, y)`, `\vec{v}`, «the point D», or the same written out?"""
    if any(token.kind in ("matrix", "binom") for token in tokens):
        return True
    operators = any(token.kind in ("sup", "frac", "sqrt", "bar") or (token.kind == "op" and token.text != "'") for token in tokens)
    numbers = any(token.kind == "num" for token in tokens)
    return not (operators or numbers) or not any(token.kind in ("run", "name", "word") for token in tokens)


def symbol_of(tokens: Tokens) -> str | None:
    """The name of a single symbol, perhaps with a subscript or as a function of something: `x`, `a_1`, `f(x)`."""
    tokens = trimmed(tokens)
    if (
        not tokens
        or tokens[0].kind not in ("run", "name", "word")
        or tokens[0].text in ("infty", "pi")
        or (tokens[0].kind != "name" and len(tokens[0].text) > 1)
    ):
        return None
    rest = tokens[1:]
    name = tokens[0].text
    if rest and rest[0].kind == "sub" and any(token.kind == "op" for token in rest[0].args[0]):
        return None  # a_{n+1} is not a_n
    if rest and rest[0].kind == "sub":
        name += "_" + "".join(str(token.value) if token.kind == "num" else token.text for token in rest[0].args[0])
        rest = rest[1:]
    while rest and rest[0].kind == "op" and rest[0].text == "'":
        name, rest = name + "'", rest[1:]
    if not rest:
        return name
    arguments = list_parts(rest[1:-1]) if enclosed(rest) == "()" else []
    plain = all(len(argument) == 1 and argument[0].kind in ("run", "name", "num", "word") for argument in arguments)
    return name + "()" if arguments and plain else None


def without_choice_label(tokens: Tokens) -> Tokens:
    """The tokens behind `(C)`, `C.` or `C)` where something follows it."""
    tokens = opened(tokens)
    place = choice_label(tokens)
    return tokens[place:] if place and place < len(tokens) else tokens


def opened(tokens: Tokens) -> Tokens:
    r"""The tokens with `\mathbf{(B)}` at their start as `(B)`."""
    if tokens and tokens[0].kind == "group" and len(tokens[0].args[0]) > 1 and choice_label(tokens[0].args[0]) == len(tokens[0].args[0]):
        return (*tokens[0].args[0], *tokens[1:])
    return tokens


def choice_label(tokens: Tokens) -> int:
    """How many tokens at the start are a choice letter with its brackets; 0 if there is none."""
    if len(tokens) >= 3 and tokens[0].text == "(" and tokens[2].text == ")" and _is_choice(tokens[1]):
        return 3
    if len(tokens) >= 2 and _is_choice(tokens[0]) and tokens[1].kind in ("close", "unknown", "rel") and tokens[1].text in (")", ".", ":"):
        return 2
    return 0


def _is_choice(token: Token) -> bool:
    if token.kind == "group" and len(token.args[0]) == 1:
        token = token.args[0][0]
    return token.kind in ("word", "run") and len(token.text) == 1 and "A" <= token.text <= "J"
