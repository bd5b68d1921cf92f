r"""A LaTeX (or plain) formula as a list of tokens with their arguments: what TeX would see, and what authors mean by it.

Deviations from TeX, all in favour of what is meant: `\sqrt10` and `2^10` take the whole number, `\text{…}` gives its words and
numbers one by one, digits grouped by three are one number (`10,\!080`, `10{,}080`, `10\,080`; `10,080` too, unless the reader asks
for lists), a bare `$` before a number is the currency.  Sizes, fonts and colours leave no token.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from benchmarks.strict.characters import spelled
from benchmarks.strict.commands import (
    ACCENTS,
    DROPPED,
    FRACTIONS,
    FUNCTIONS,
    JOINED,
    KNOWN,
    NAMES,
    PLAIN,
    RENAMED,
    SEPARATORS,
    SILENT,
    SPACES,
    TEXTS,
    WRAPPERS,
    simple_token,
)
from benchmarks.strict.numerals import read_number
from benchmarks.strict.tokens import Token, Tokens, Unreadable

DEEPEST = 40


_DOLLAR = re.compile(r"(?<!\\)\$")
_DOLLAR_BEFORE_NUMBER = re.compile(r"(?<!\\)\$\s*[\d.]")
_POWER = re.compile(r"\*\*\s*[\w({\\+-]")


_BAR = re.compile(r"\s*(?:\||\\vert(?![a-zA-Z]))")
_COMMAND = re.compile(r"\\([a-zA-Z]+\*?|.)", re.DOTALL)


_ARGUMENT = re.compile(r"\s*(?:\\left\s*)?\(")
_LETTERS = re.compile(r"[^\W\d_]+")


_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


_LETTER_OF = {"\x07": "a", "\x08": "b", "\x0b": "v", "\x0c": "f", "\t": "t"}
_EATEN = re.compile(r"\x07(?=lpha|pprox|ngle)|\x08(?=inom|oxed|eta|egin|ar\b)|\x0b(?=ec\b)|\x0c(?=rac)|\t(?=ext|frac|imes|heta|an\b)")
r"""Commands that lost their backslash and letter to an escape: a form feed and `rac` were `\frac`."""


_ESCAPED_TWICE = re.compile(r"(?<!\\)(?:\\\\)+(?:[dt]?frac|sqrt|left|right|text|begin|pi|le|leq|ge|geq|times|cdot|infty|pm)(?![a-zA-Z])")
_ESCAPED_ONCE = re.compile(r"(?<!\\)\\(?:\\\\)*[a-zA-Z]")
"""`\\\\frac` where no command has one backslash alone: the text was escaped twice."""


@lru_cache(256)
def tokenize(text: str, lists: bool = False) -> Tokens:
    """Tokens of a formula.  `lists`: `1,037` is two numbers.  Raises Unreadable for what is nested too deeply or not closed."""
    if _ESCAPED_TWICE.search(text) and not _ESCAPED_ONCE.search(text):
        text = text.replace("\\\\", "\\")
    text = spelled(_EATEN.sub(lambda found: "\\" + _LETTER_OF[found.group()], text)).replace("{.}", ".").replace("{:}", ":")
    return _Scanner(text, lists).run()


class _Scanner:
    def __init__(self, text: str, lists: bool) -> None:
        self.text, self.lists = text, lists
        self.at, self.depth = 0, 0
        bare = len(_DOLLAR.findall(text)) if "$" in text else 0
        self.dollar_is_money = bare == 1 and _DOLLAR_BEFORE_NUMBER.search(text) is not None

    def run(self) -> Tokens:
        """All tokens."""
        found = self.until(None, False)
        return found

    def until(self, end: str | None, words: bool) -> Tokens:
        """Tokens up to `end` (a closing brace or bracket), or of the whole text."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable("nested too deeply")
        found: list[Token] = []
        spaced, inner = False, 0
        while self.at < len(self.text):
            character = self.text[self.at]
            if end == ")":
                inner += (character == "(") - (character == ")")
            if character == end and inner <= 0:
                self.at += 1
                self.depth -= 1
                return tuple(found)
            if character.isspace() or character == "~":
                self.at += 1
                spaced = True
                continue
            before = len(found)
            if self.one(found, words, spaced) == "space":
                spaced = True
            elif len(found) > before:
                spaced = False
        if end is not None:
            raise Unreadable("a brace is not closed")
        self.depth -= 1
        return tuple(found)

    def one(self, found: list[Token], words: bool, spaced: bool) -> str | None:
        """Take the next character or command; says `space` for one that leaves no token."""
        text, character = self.text, self.text[self.at]
        if character == "\\":
            return self.command(found, words, spaced)
        if character.isdecimal() or (character == "." and self.at + 1 < len(text) and text[self.at + 1].isdecimal()):
            found.append(self.number(spaced))
        elif character in "^_":
            self.at += 1
            self.script("sup" if character == "^" else "sub", found, words)
        elif character == "{":
            self.at += 1
            inside = self.until("}", words)
            if inside or not found:
                found.append(Token("group", args=(inside,), spaced=spaced))
        elif character == "$":
            self.at += 1
            if self.dollar_is_money:
                found.append(Token("money", "dollar", spaced=spaced))
        elif letters := _LETTERS.match(text, self.at):
            self.letters(letters.group(), found, words, spaced)
        elif text.startswith("...", self.at):
            self.at += 3
            found.append(Token("dots", spaced=spaced))
        elif _POWER.match(text, self.at) and not words and found and found[-1].kind in ("num", "run", "close", "group"):
            self.at += 2
            self.script("sup", found, words)
        else:
            self.sign(character, found, spaced)
        return None

    def sign(self, character: str, found: list[Token], spaced: bool) -> None:
        """Take a sign, or two that are one relation."""
        self.at += 1
        following = self.text[self.at : self.at + 1]
        for pair, relation in (("<=", "≤"), (">=", "≥"), ("!=", "≠"), (":=", "="), ("==", "="), ("=<", "≤"), ("=>", "⇒"), ("->", "→")):
            if character + following == pair and not (pair == "!=" and found and found[-1].kind in ("num", "run", "close") and not spaced):
                self.at += 1
                found.append(Token("rel", relation, spaced=spaced))
                return
        if character in "*_" and following == character:  # bold in Markdown
            self.at += 1
            return
        kind, written = PLAIN.get(character, ("unknown", character))
        found.append(Token(kind, written, spaced=spaced))

    def letters(self, letters: str, found: list[Token], words: bool, spaced: bool) -> None:
        """Take letters: words of a text, or a run of symbols, a function or a separator of a formula."""
        if letters in SEPARATORS and (len(letters) > 1 or (words and spaced and found)):
            self.at += len(letters)
            found.append(
                Token(
                    "sep",
                    "or" if letters in ("or", "Or", "OR", "或", "或者", "или", "ou", "oder", "또는", "または") else "and",
                    spaced=spaced,
                )
            )
            return
        if _CJK.match(letters):
            letters = _cjk_word(letters)
            self.at += len(letters)
            if letters in SEPARATORS:
                found.append(Token("sep", "or" if letters in ("或", "或者") else "and", spaced=spaced))
            else:
                found.append(Token("word", letters, spaced=spaced))
            return
        if cjk := _CJK.search(letters):
            letters = letters[: cjk.start()]
        self.at += len(letters)
        if words or not (letters.isascii() or letters in NAMES):
            while self.text[self.at : self.at + 1] in ("'", "-") and (more := _LETTERS.match(self.text, self.at + 1)):
                letters += self.text[self.at] + more.group()
                self.at = more.end()
            found.append(Token("word", letters, spaced=spaced))
        elif letters in FUNCTIONS:
            found.append(Token("function", letters, spaced=spaced))
        elif letters in NAMES or letters in ("infinity", "Infinity", "inf", "oo"):
            found.append(Token("name", letters if letters in NAMES else "infty", spaced=spaced))
        else:
            found.append(Token("run", letters, spaced=spaced))

    def number(self, spaced: bool) -> Token:
        """Take a number."""
        token, self.at = read_number(self.text, self.at, self.lists)
        return token._replace(spaced=spaced)

    def script(self, kind: str, found: list[Token], words: bool) -> None:
        """Take what stands behind ^ or _; a raised circle is a degree."""
        argument = self.argument(words, number=True)
        if kind == "sup" and _is_degree(argument):
            found.append(Token("degree"))
        elif kind == "sup" and len(argument) == 1 and argument[0].kind == "unknown" and argument[0].text == "prime":
            found.append(Token("op", "'"))
        elif kind == "sub" and len(found) > 1 and found[-1].kind == "sup" and found[-2].kind in ("run", "name"):
            found.insert(-1, Token(kind, args=(argument,)))  # a^2_1
        else:
            found.append(Token(kind, args=(argument,)))

    def argument(self, words: bool = False, number: bool = False) -> Tokens:
        r"""The argument of a command or script: a group, a bracketed expression after `^`, one character, one command."""
        while self.at < len(self.text) and (self.text[self.at].isspace() or self.text[self.at] == "~"):
            self.at += 1
        if self.at >= len(self.text):
            raise Unreadable("an argument is missing")
        character = self.text[self.at]
        if character == "{":
            self.at += 1
            return self.until("}", words)
        if character == "}":
            raise Unreadable("an argument is missing")
        if character == "(" and number:
            self.at += 1
            return (Token("open", "("), *self.until(")", words), Token("close", ")"))
        if character.isdecimal() and not number:
            self.at += 1
            return (Token("num", "integer", value=Fraction(int(character))),)
        found: list[Token] = []
        if character in "+-" and number:
            self.at += 1
            if not re.compile(r"\s*[\w{\\(.]").match(self.text, self.at):
                return (Token("op", character),)
            return (Token("op", character), *self.argument(words, True))
        if not character.isdecimal() and (letter := _LETTERS.match(self.text, self.at)):
            self.at += 1
            return (Token("run", letter.group()[0]),)
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable("nested too deeply")
        while not found and self.at < len(self.text):
            self.one(found, words, False)
        self.depth -= 1
        if not found:
            raise Unreadable("an argument is missing")
        return tuple(found)

    def optional(self) -> Tokens | None:
        """The argument in square brackets that stands here, if there is one."""
        place = re.compile(r"\s*\[").match(self.text, self.at)
        if not place:
            return None
        self.at = place.end()
        return self.until("]", False)

    def command(self, found: list[Token], words: bool, spaced: bool) -> str | None:
        """Take a command with its arguments; says `space` for one that leaves no token."""
        name = self.command_name()
        if name == "" or name in SPACES:
            return "space"
        if name in ("\\", "cr", "newline", "tabularnewline"):
            self.optional()
            found.append(Token("sep", "row", spaced=spaced))
        elif name in SILENT:
            self.delimiter(name, found, spaced)
            return "space"
        elif name in WRAPPERS:
            found.append(Token("group", args=(self.argument(words),), spaced=spaced))
        elif name in TEXTS:
            self.written(name, found, spaced)
        elif name in ("colorbox", "fcolorbox"):
            for _ in range(2 if name == "fcolorbox" else 1):
                self.argument()
            self.written(name, found, spaced)
        elif name in DROPPED:
            self.optional()
            self.argument()
            return "space"
        elif name == "begin":
            self.environment(found, spaced)
        elif name == "not":
            self.negation(found, spaced)
        else:
            found.append(self.symbol(name, spaced))
        return None

    def command_name(self) -> str:
        """The name of the command that begins here; empty for a backslash at the end (of a line break or a space)."""
        match = _COMMAND.match(self.text, self.at)
        if match is None:
            self.at += 1
            return ""
        name = match.group(1)
        self.at = match.end()
        if name.endswith("*") and name not in KNOWN:  # \pi*9
            self.at, name = self.at - 1, name[:-1]
        if name in KNOWN or simple_token(name) is not None or len(name) < 4:
            return name
        shorter = next((name[:size] for size in range(len(name) - 1, 1, -1) if name[:size] in JOINED), name)
        self.at -= len(name) - len(shorter)  # \quadx, \leqx: a space was left out
        return shorter

    def delimiter(self, name: str, found: list[Token], spaced: bool) -> None:
        r"""The bar behind `\left` and `\right` opens or closes; the point behind them is nothing."""
        if name not in ("left", "right"):
            return
        if self.text.startswith(".", self.at):
            self.at += 1
        elif bar := _BAR.match(self.text, self.at):
            self.at = bar.end()
            found.append(Token("open" if name == "left" else "close", "|", spaced=spaced))

    def negation(self, found: list[Token], spaced: bool) -> None:
        r"""`\not=` and the like."""
        following: list[Token] = []
        if self.at < len(self.text):
            self.one(following, False, spaced)
        negated = {"=": "≠", "∈": "∉", "<": "≥", ">": "≤"}.get(following[0].text if following else "", "")
        found.append(Token("rel", negated, spaced=spaced) if negated else Token("unknown", "not", spaced=spaced))

    def written(self, name: str, found: list[Token], spaced: bool) -> None:
        r"""Words, numbers and signs of `\text{…}`, one by one; a single letter of `\mathrm` or bold type is a symbol."""
        if name == "textcolor":
            self.optional()
            self.argument()
            found.append(Token("group", args=(self.argument(False),), spaced=spaced))
            return
        inside = self.argument(words=True)
        if name in ("mathrm", "operatorname") and len(inside) == 1 and inside[0].kind == "word":
            text = inside[0].text
            kind = "function" if text in FUNCTIONS else "run" if len(text) == 1 else "word"
            inside = (Token(kind, text, spaced=inside[0].spaced),)
        elif len(inside) == 1 and inside[0].text in FUNCTIONS and _ARGUMENT.match(self.text, self.at):
            inside = (inside[0]._replace(kind="function"),)
        if len(inside) == 1 and inside[0].spaced and found and inside[0].text in ("y", "e", "o", "u", "и"):
            found.append(Token("sep", "or" if inside[0].text in "ou" else "and", spaced=True))
            return
        if inside and inside[0].kind == "group" and len(inside) == 1:
            inside = inside[0].args[0]
        if inside:
            found.append(inside[0]._replace(spaced=spaced or inside[0].spaced))
            found += inside[1:]

    def symbol(self, name: str, spaced: bool) -> Token:
        """The token of any other command, with its arguments."""
        name = RENAMED.get(name, name)
        if name in FRACTIONS:
            return Token("frac", args=(self.argument(), self.argument()), spaced=spaced)
        if name == "vulgar":
            return Token("vulgar", args=(self.argument(), self.argument()), spaced=spaced)
        if name in ("binom", "tbinom", "dbinom"):
            return Token("binom", args=(self.argument(), self.argument()), spaced=spaced)
        if name == "sqrt":
            index = self.optional()
            body = self.argument(number=True)
            return Token("sqrt", args=(body,) if index is None else (body, index), spaced=spaced)
        if name in ACCENTS:
            if name in ("overset", "stackrel"):
                self.argument()
            return Token("accent", name, args=(self.argument(number=True),), spaced=spaced)
        if name in ("mathbb", "Bbb"):
            letters = "".join(token.text for token in self.argument())
            return Token("set", letters, spaced=spaced)
        if name in ("R", "Z", "Q", "N", "C", "reals", "Reals"):
            return Token("set", name[0].upper(), spaced=spaced)
        if name in ("sum", "prod"):
            return Token("sum", name, spaced=spaced)
        if name in ("pmod", "bmod", "mod", "pod"):
            if name in ("pmod", "pod"):
                return Token("remark", "mod", args=(self.argument(number=True),), spaced=spaced)
            return Token("word", "mod", spaced=spaced)
        known = simple_token(name)
        return known._replace(spaced=spaced) if known else Token("unknown", name, spaced=spaced)

    def environment(self, found: list[Token], spaced: bool) -> None:
        """Take a whole environment: a matrix, or rows of formulas."""
        name = "".join(token.text for token in self.argument()).rstrip("*")
        if name in ("array", "tabular", "alignedat"):
            self.optional()
            self.argument()
        start = self.at
        closing = self._end_of(name)
        body = self.text[start : closing[0]]
        inner = _Scanner(body, self.lists)
        inner.depth = self.depth
        tokens = inner.until(None, False)
        rows: list[list[list[Token]]] = [[[]]]
        for token in tokens:
            if token.kind == "sep" and token.text == "row":
                rows.append([[]])
            elif token.kind == "unknown" and token.text == "&":
                rows[-1].append([])
            else:
                rows[-1][-1].append(token)
        kept = tuple(tuple(tuple(cell) for cell in row) for row in rows if any(row))
        self.at = closing[1]
        matrix = name in (
            "pmatrix",
            "bmatrix",
            "matrix",
            "smallmatrix",
            "vmatrix",
            "Bmatrix",
            "Vmatrix",
            "array",
            "tabular",
            "psmallmatrix",
            "bsmallmatrix",
        )
        if name in ("array", "tabular") and len(kept) == 1 and len(kept[0]) == 1:
            found.append(Token("group", args=(kept[0][0],), spaced=spaced))
            return
        found.append(Token("matrix" if matrix else "rows", name, rows=kept, spaced=spaced))

    def _end_of(self, name: str) -> tuple[int, int]:
        depth = 1
        for mark in re.compile(r"\\(begin|end)\s*\{\s*([a-zA-Z]+)\*?\s*\}").finditer(self.text, self.at):
            depth += 1 if mark.group(1) == "begin" else -1
            if depth == 0:
                return mark.start(), mark.end()
        raise Unreadable("an environment is not closed")


def _is_degree(argument: Tokens) -> bool:
    return len(argument) == 1 and (argument[0].kind == "degree" or argument[0] in (Token("run", "o"), Token("word", "o")))


def _cjk_word(letters: str) -> str:
    for joiner in ("或者", "以及", "或", "和"):
        if letters.startswith(joiner):
            return joiner
    end = re.search(r"或|和|以及|[^\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]", letters)
    return letters[: end.start()] if end and end.start() else letters
