r"""Tokens of one expression → a tree.  A tree is nested tuples, so that equal formulas are equal Python objects:

("num", Fraction) · ("sym", name) · ("const", "pi" | "e" | "i" | "inf") · ("add", a, b) · ("mul", a, b) · ("div", a, b) ·
("pow", a, b) · ("neg", a) · ("fn", name, argument, …) · ("sum" | "prod", variable, from, to, body)

Conventions that differ between authors: a product written without a sign binds as a sign does (`1/2x` is `(1/2)x`); the argument of
a function without brackets is the product that follows (`\sin 2x`); an integer before a plain fraction is a mixed number
(`2\frac13`); `e` is Euler's number, `i` the imaginary unit, `\log` without a base the natural one.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import product, repeat
from typing import Any

from benchmarks.strict.commands import FUNCTIONS
from benchmarks.strict.tokens import Token, Tokens, Unreadable

Tree = tuple[Any, ...]
DEEPEST = 60
DEEPEST_TREE = 180
"""Levels of a tree; a sum has one for each term."""
_INVERSE = {
    "sin": "asin",
    "cos": "acos",
    "tan": "atan",
    "cot": "acot",
    "sec": "asec",
    "csc": "acsc",
    "sinh": "asinh",
    "cosh": "acosh",
    "tanh": "atanh",
}
_SAME = {
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arccot": "acot",
    "cosec": "csc",
    "tg": "tan",
    "ctg": "cot",
    "lg": "log10",
    "sign": "sgn",
}
_SEVERAL = {"max", "min", "gcd", "lcm"}
ONE, MINUS_ONE = ("num", Fraction(1)), ("num", Fraction(-1))


def has_plus_minus(tokens: Tokens) -> bool:
    """Does a ± or ∓ stand anywhere in the tokens?"""
    return _signs(tokens) != (0, 0)


def _signs(tokens: Tokens) -> tuple[int, int]:
    """How often ± and ∓ stand in the tokens."""
    plus = minus = 0
    for token in tokens:
        plus += token.kind == "op" and token.text == "±"
        minus += token.kind == "op" and token.text == "∓"
        for part in (*token.args, *(cell for row in token.rows for cell in row)):
            inside = _signs(part)
            plus, minus = plus + inside[0], minus + inside[1]
    return plus, minus


def sign_choices(tokens: Tokens) -> list[Tokens]:
    """The tokens with a sign for each ±.  All go together if there is a ∓, else each ± is free.

    Raises:
        Unreadable: more than four are free.
    """
    plus, minus = _signs(tokens)
    if not plus + minus:
        return [tokens]
    if minus or plus == 1:
        return [_with_signs(tokens, repeat(upper)) for upper in (True, False)]
    if plus > 4:
        raise Unreadable("too many ±")
    return [_with_signs(tokens, iter(chosen)) for chosen in product((True, False), repeat=plus)]


def _with_signs(tokens: Tokens, uppers: Iterator[bool]) -> Tokens:
    found = []
    for token in tokens:
        if token.kind == "op" and token.text in "±∓":
            found.append(token._replace(text="+" if next(uppers) == (token.text == "±") else "-"))
        else:
            args = tuple(_with_signs(argument, uppers) for argument in token.args)
            rows = tuple(tuple(_with_signs(cell, uppers) for cell in row) for row in token.rows)
            found.append(token._replace(args=args, rows=rows))
    return tuple(found)


@lru_cache(4096)
def parse(tokens: Tokens) -> Tree:
    """The tree of an expression.

    Raises:
        Unreadable: a token has no place in an expression, or it has too many parts in a row.
    """
    try:
        tree = _Parser(tokens).all()
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    if is_deep(tree):
        raise Unreadable("too many operands")
    return tree


def values_of(tokens: Tokens) -> list[Tree]:
    """One tree, or those that a ± stands for."""
    return [parse(choice) for choice in sign_choices(tokens)]


class _Parser:
    def __init__(self, tokens: Tokens, depth: int = 0, bars: int = 0) -> None:
        self.tokens, self.at, self.depth, self.bars = tokens, 0, depth, bars
        if depth > DEEPEST:
            raise Unreadable("nested too deeply")
        for place, token in enumerate(tokens):  # a \over b, n \choose k
            if token.kind == "op" and token.text in ("over", "choose"):
                top, bottom = self.inner(tokens[:place]), self.inner(tokens[place + 1 :])
                self.tokens = ()
                self.whole: Tree | None = ("div", top, bottom) if token.text == "over" else ("fn", "binom", top, bottom)
                self.at = 0
                return
        self.whole = None

    def inner(self, tokens: Tokens) -> Tree:
        """The tree of a whole argument."""
        return _Parser(tokens, self.depth + 1).all()

    def all(self) -> Tree:
        """The tree of all tokens."""
        tree = self.sum()
        if self.whole is None and (token := self.peek()) is not None:
            raise Unreadable(f"{token.kind} {token.text} has no place")
        return tree

    def peek(self) -> Token | None:
        """The next token."""
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def sum(self) -> Tree:
        """Terms with + and − between them."""
        if self.whole is not None:
            return self.whole
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable("nested too deeply")
        tree: Tree | None = None
        while (token := self.peek()) is not None:
            if token.kind == "op" and token.text in "+-":
                self.at += 1
                minus = token.text == "-"
                term = self.product()
                term = _negative(term) if minus else term
                tree = term if tree is None else ("add", tree, term)
            elif tree is None:
                tree = self.product()
            else:
                break
        self.depth -= 1
        if tree is None:
            raise Unreadable("an expression is missing")
        return tree

    def product(self) -> Tree:
        """Factors, with or without a sign between them."""
        tree = self.signed()
        while (token := self.peek()) is not None:
            if token.kind == "op" and token.text in "*/":
                self.at += 1
                tree = ("mul" if token.text == "*" else "div", tree, self.signed())
            elif self.starts_factor(token):
                if token.kind == "num" and self.tokens[self.at - 1].kind == "num":
                    raise Unreadable("two numbers side by side")
                tree = ("mul", tree, self.power())
            else:
                break
        return tree

    def signed(self) -> Tree:
        """A factor that may have a sign."""
        token = self.peek()
        if token is not None and token.kind == "op" and token.text in "+-":
            self.at += 1
            minus = token.text == "-"
            return _negative(self.signed()) if minus else self.signed()
        return self.power()

    def starts_factor(self, token: Token) -> bool:
        """May a factor begin with this token, without a sign before it?"""
        if token.kind == "bar":
            return self.bars == 0 and self.closing_bar() is not None
        return token.kind in ("num", "run", "name", "function", "group", "frac", "vulgar", "sqrt", "binom", "open", "sum", "accent") or (
            token.kind == "word" and len(token.text) == 1
        )

    def power(self) -> Tree:
        """An operand with its exponent."""
        tree = self.postfix(self.atom())
        token = self.peek()
        if token is not None and token.kind == "sup":
            self.at += 1
            tree = self.postfix(("pow", tree, self.inner(token.args[0])))
        return tree

    def postfix(self, tree: Tree) -> Tree:
        """The operand with the factorials behind it."""
        while self.is_factorial(self.at):
            double = self.is_factorial(self.at + 1)
            self.at += 1 + double
            tree = ("fn", "double factorial" if double else "factorial", tree)
        return tree

    def is_factorial(self, place: int) -> bool:
        """Is there an exclamation mark?"""
        return place < len(self.tokens) and self.tokens[place].kind == "op" and self.tokens[place].text == "!"

    def opens_bracket(self) -> bool:
        """Does a round bracket open here?"""
        following = self.peek()
        return following is not None and following.kind == "open" and following.text == "("

    def atom(self) -> Tree:
        """One operand."""
        token = self.peek()
        if token is None:
            raise Unreadable("an operand is missing")
        self.at += 1
        if token.kind == "num":
            return self.number(token)
        if token.kind == "function" or (token.kind == "word" and token.text in FUNCTIONS and self.opens_bracket()):
            return self.function(token.text)
        if token.kind in ("run", "word", "name"):
            return self.symbol(token)
        if token.kind in ("sup", "sub") or (token.kind == "group" and not token.args[0]):
            return self.selections(token)
        if token.kind == "group":
            return self.inner(token.args[0])
        if token.kind in ("frac", "vulgar"):
            return ("div", self.inner(token.args[0]), self.inner(token.args[1]))
        if token.kind == "sqrt":
            return self.root(token)
        if token.kind == "binom":
            return ("fn", "binom", self.inner(token.args[0]), self.inner(token.args[1]))
        if token.kind == "open":
            return self.bracketed(token.text)
        if token.kind == "bar" and (end := self.closing_bar(self.at - 1)) is not None:
            tree = self.inner(self.tokens[self.at : end])
            self.at = end + 1
            return ("fn", "abs", tree)
        if token.kind == "sum":
            return self.series(token.text)
        if token.kind == "accent":
            return ("sym", f"{token.text} {_index_name(token.args[0])}")
        raise Unreadable(f"{token.kind} {token.text} has no place")

    def selections(self, token: Token) -> Tree:
        """`{}_nC_k` and `^nC_k`: the number of selections."""
        if token.kind == "group":
            token = self.tokens[self.at] if self.at < len(self.tokens) else token
            self.at += 1
        rest = self.tokens[self.at : self.at + 2]
        if (
            token.kind in ("sup", "sub")
            and len(rest) == 2
            and rest[0].kind in ("run", "word")
            and rest[0].text == "C"
            and rest[1].kind == "sub"
        ):
            self.at += 2
            return ("fn", "binom", self.inner(token.args[0]), self.inner(rest[1].args[0]))
        raise Unreadable(f"{token.kind} has no place")

    def number(self, token: Token) -> Tree:
        """A number, or a mixed number."""
        assert token.value is not None
        if token.text == "open":
            raise Unreadable("a decimal that goes on in an unknown way")
        if token.text == "integer" and (fraction := self.plain_fraction()) is not None:
            return ("num", token.value + fraction)
        return ("num", token.value)

    def plain_fraction(self) -> Fraction | None:
        """The fraction of a mixed number that stands here: `\frac13`, `½`, or ` 1/3` behind a space; it is below 1."""
        token = self.peek()
        value: Fraction | None = None
        used = 0
        if token is not None and token.kind == "group":
            token = _fraction_in(token.args[0])
        if token is not None and token.kind in ("frac", "vulgar"):
            top, bottom = (_plain_integer(argument) for argument in token.args)
            if top is not None and bottom:
                value, used = Fraction(top, bottom), 1
        elif token is not None and token.kind == "num" and token.text == "integer" and token.spaced:
            after = self.tokens[self.at + 1 : self.at + 3]
            if (
                len(after) == 2
                and after[0] == Token("op", "/")
                and after[1].kind == "num"
                and after[1].text == "integer"
                and after[1].value
            ):
                assert token.value is not None and after[1].value is not None
                value, used = token.value / after[1].value, 3
        if value is None or not 0 < value < 1:
            return None
        following = self.tokens[self.at + used] if self.at + used < len(self.tokens) else None
        if following is not None and following.kind == "sup":
            return None
        self.at += used
        return value

    def symbol(self, token: Token) -> Tree:
        """A symbol with its subscript and primes, a constant, or `C(n, k)`."""
        text = token.text
        if token.kind == "run" and len(text) > 1:
            return self.letters(text)
        if token.kind == "word" and len(text) > 1:
            raise Unreadable(f"the word {text}")
        following = self.peek()
        if following is not None and following.kind == "sub":
            self.at += 1
            text += "_" + _index_name(following.args[0])
        while (prime := self.peek()) is not None and prime.kind == "op" and prime.text == "'":
            self.at += 1
            text += "'"
        if token.text == "C" and text != "C" and (power := self.peek()) is not None and power.kind == "sup" and following is not None:
            self.at += 1
            return ("fn", "binom", self.inner(following.args[0]), self.inner(power.args[0]))  # C_n^k
        if text == "C" and (pair := self.arguments()) is not None:
            if len(pair) == 2:
                return ("fn", "binom", *pair)
            raise Unreadable("C of one argument")
        if text in ("e", "i", "pi"):
            return ("const", text)
        if text == "infty":
            return ("const", "inf")
        return ("sym", text)

    def letters(self, text: str) -> Tree:
        """Letters side by side: a function and its argument (`sinx`), or a product (`xy`)."""
        for length in range(min(6, len(text) - 1), 1, -1):
            if text[:length] in FUNCTIONS and len(text) - length <= 2:
                rest = tuple(Token("run", letter) for letter in text[length:])
                self.tokens = self.tokens[: self.at] + rest + self.tokens[self.at :]
                return self.function(text[:length])
        if len(text) > 4:
            raise Unreadable(f"the word {text}")
        if text == "pi":
            return ("const", "pi")
        *first, last = (Token("run", letter) for letter in text)
        tree: Tree | None = None
        for letter in first:
            part = ("const", letter.text) if letter.text in "ei" else ("sym", letter.text)
            tree = part if tree is None else ("mul", tree, part)
        end = self.power_of(self.symbol(last))
        return ("mul", tree, end) if tree is not None else end

    def power_of(self, tree: Tree) -> Tree:
        """The last of several letters takes the exponent alone (`xy^2`)."""
        token = self.peek()
        if token is not None and token.kind == "sup":
            self.at += 1
            return ("pow", tree, self.inner(token.args[0]))
        return tree

    def function(self, name: str) -> Tree:
        """A function with its power, base and argument."""
        base: Tree | None = None
        exponent: Tree | None = None
        while (token := self.peek()) is not None and token.kind in ("sup", "sub"):
            self.at += 1
            if token.kind == "sub":
                base = self.inner(token.args[0])
            else:
                exponent = self.inner(token.args[0])
        name = _SAME.get(name, name)
        if exponent in (MINUS_ONE, ("neg", ONE)) and name in _INVERSE:
            name, exponent = _INVERSE[name], None
        following = self.peek()
        if following is not None and following.kind == "frac" and without_degrees((following,)) != (following,):
            self.at += 1
            arguments: list[Tree] | None = [self.angle((following,))]
        else:
            arguments = self.arguments()
        if arguments is None:
            arguments = [self.juxtaposed()]
        if len(arguments) != (2 if name == "binom" else 1) and name not in _SEVERAL:
            raise Unreadable(f"{name} of {len(arguments)} arguments")
        tree: Tree
        if base is not None and name != "log":
            raise Unreadable(f"a subscript of {name}")
        if name == "log" and base is not None:
            tree = ("div", ("fn", "ln", arguments[0]), ("fn", "ln", base))
        elif name in ("log", "ln"):
            tree = ("fn", "ln", arguments[0])
        elif name == "log10":
            tree = ("div", ("fn", "ln", arguments[0]), ("fn", "ln", ("num", Fraction(10))))
        elif name == "exp":
            tree = ("pow", ("const", "e"), arguments[0])
        elif name == "cis":
            tree = ("pow", ("const", "e"), ("mul", ("const", "i"), arguments[0]))
        elif name in ("sqrt", "cbrt"):
            tree = ("pow", arguments[0], ("num", Fraction(1, 2 if name == "sqrt" else 3)))
        else:
            tree = ("fn", name, *arguments)
        return tree if exponent is None else ("pow", tree, exponent)

    def arguments(self) -> list[Tree] | None:
        """The arguments in brackets that stand here, if there are any."""
        token = self.peek()
        if token is None or token.kind not in ("open", "group"):
            return None
        if token.kind == "group":
            inside = token.args[0]
            if not (inside and inside[0].kind == "open" and inside[0].text == "(" and inside[-1].kind == "close"):
                self.at += 1
                return [self.angle(inside)]
            self.tokens = self.tokens[: self.at] + inside + self.tokens[self.at + 1 :]
            token = inside[0]
        if token.text not in "([{":
            return None
        end = matching(self.tokens, self.at)
        parts = list(split(self.tokens[self.at + 1 : end], ","))
        self.at = end + 1
        return [self.angle(part) for part in parts]

    def angle(self, tokens: Tokens) -> Tree:
        """An argument of a function; with degree signs it is an angle in degrees."""
        bare = without_degrees(tokens)
        if bare == tokens:
            return self.inner(tokens)
        return ("div", ("mul", self.inner(bare), ("const", "pi")), ("num", Fraction(180)))

    def juxtaposed(self) -> Tree:
        """The argument of a function without brackets: the product that follows."""
        tree = self.power() if (token := self.peek()) is None or token.kind != "op" or token.text != "-" else self.signed()
        while (token := self.peek()) is not None and self.starts_factor(token) and token.kind not in ("function", "open"):
            tree = ("mul", tree, self.power())
        if (token := self.peek()) is not None and token.kind == "degree":
            self.at += 1
            tree = ("div", ("mul", tree, ("const", "pi")), ("num", Fraction(180)))
        return tree

    def root(self, token: Token) -> Tree:
        """A root."""
        body = self.inner(token.args[0])
        index = self.inner(token.args[1]) if len(token.args) > 1 else ("num", Fraction(2))
        return ("fn", "root", body, index) if index != ("num", Fraction(2)) else ("pow", body, ("num", Fraction(1, 2)))

    def bracketed(self, bracket: str) -> Tree:
        """What stands in brackets: an expression, a floor, a ceiling or an absolute value."""
        end = matching(self.tokens, self.at - 1)
        inside = self.tokens[self.at : end]
        closing = self.tokens[end].text
        self.at = end + 1
        pair = bracket + closing
        tree = self.inner(inside)
        if pair in ("()", "[]", "{}"):
            return tree
        name = {"⌊⌋": "floor", "⌈⌉": "ceil", "||": "abs"}.get(pair)
        if name is None:
            raise Unreadable(f"brackets {pair}")
        return ("fn", name, tree)

    def closing_bar(self, start: int | None = None) -> int | None:
        """Place of the bar that closes the one at `start`."""
        start = self.at if start is None else start
        return next((place for place in range(start + 1, len(self.tokens)) if self.tokens[place].kind == "bar"), None)

    def series(self, kind: str) -> Tree:
        """A sum or product with bounds."""
        lower = upper = None
        while (token := self.peek()) is not None and token.kind in ("sup", "sub"):
            self.at += 1
            lower, upper = (token.args[0], upper) if token.kind == "sub" else (lower, token.args[0])
        if lower is None or upper is None:
            raise Unreadable("a sum without bounds")
        place = next((index for index, token in enumerate(lower) if token.kind == "rel" and token.text == "="), None)
        if place is None:
            raise Unreadable("a sum without a first index")
        variable = _letter(lower[:place])
        saved, body = self.at, None
        body = self.product()
        if self.at == saved:
            raise Unreadable("a sum of nothing")
        return (kind, variable, self.inner(lower[place + 1 :]), self.inner(upper), _freed(body, variable))


def without_degrees(tokens: Tokens) -> Tokens:
    """The tokens without degree signs, inside arguments too."""
    return tuple(
        token._replace(args=tuple(without_degrees(argument) for argument in token.args)) for token in tokens if token.kind != "degree"
    )


def _fraction_in(group: Tokens) -> Token | None:
    r"""The fraction that a group is: `{\frac13}` or `{1 \over 3}`."""
    if len(group) == 1:
        return group[0]
    if len(group) == 3 and group[1].kind == "op" and group[1].text == "over":
        return Token("frac", args=((group[0],), (group[2],)))
    return None


def _freed(tree: Tree, variable: str) -> Tree:
    """`i` and `e` as the index of a sum are no constants."""
    if tree == ("const", variable):
        return ("sym", variable)
    return tuple(_freed(part, variable) if isinstance(part, tuple) else part for part in tree)


def _letter(tokens: Tokens) -> str:
    if len(tokens) == 1 and tokens[0].kind in ("run", "name") and tokens[0].text:
        return tokens[0].text
    raise Unreadable("an index that is no letter")


def _negative(tree: Tree) -> Tree:
    return ("num", -tree[1]) if tree[0] == "num" else ("neg", tree)


def _plain_integer(tokens: Tokens) -> int | None:
    if len(tokens) == 1 and tokens[0].kind == "num" and tokens[0].text == "integer":
        assert tokens[0].value is not None
        return int(tokens[0].value)
    return None


def _index_name(tokens: Tokens) -> str:
    """A subscript as part of a name: `x_1`, `a_{n+1}`."""
    return "".join(
        str(token.value) if token.kind == "num" else token.text + "".join(f"({_index_name(argument)})" for argument in token.args)
        for token in tokens
    )


def is_deep(tree: Tree) -> bool:
    """Is a tree too deep for functions that call themselves?"""
    level: list[Tree] = [tree]
    for _ in range(DEEPEST_TREE):
        level = [part for one in level for part in one[1:] if isinstance(part, tuple)]
        if not level:
            return False
    return True


def matching(tokens: Tokens, start: int) -> int:
    """Place of the bracket that closes the one at `start`; the kinds may differ (intervals)."""
    depth = 0
    for place in range(start, len(tokens)):
        depth += (tokens[place].kind == "open") - (tokens[place].kind == "close")
        if depth == 0:
            return place
    raise Unreadable("a bracket is not closed")


def split(tokens: Tokens, separators: str) -> Iterator[Tokens]:
    """The parts between separators of the given texts (one character each) outside brackets."""
    depth = start = 0
    for place, token in enumerate(tokens):
        depth += (token.kind == "open") - (token.kind == "close")
        if depth == 0 and token.kind == "sep" and token.text in separators:
            yield tokens[start:place]
            start = place + 1
    yield tokens[start:]
