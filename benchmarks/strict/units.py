"""Units that stand beside a number: what they measure and how large they are.

Known units have a factor to a base unit, so that 90 minutes are 1.5 hours; every other word («apples», «ways») is a unit of its own
kind.  A word that changes the number rather than its kind («at least», «or», «if») is no unit: `read_unit` refuses it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from benchmarks.strict.commands import FUNCTIONS, NAMES
from benchmarks.strict.expressions import matching
from benchmarks.strict.number_words import number_in_words
from benchmarks.strict.tokens import Token, Tokens, Unreadable

_TABLE = """
m 1 m | meter metre metres meters
km 1000 m | kilometer kilometre
cm 1/100 m | centimeter centimetre
mm 1/1000 m | millimeter millimetre
in 0.0254 m | inch inches
ft 0.3048 m | foot feet
yd 0.9144 m | yard
mi 1609.344 m | mile
s 1 s | sec second
min 60 s | minute mins
h 3600 s | hr hour hrs
day 86400 s | days
week 604800 s | wk
ms 1/1000 s | millisecond
g 1 g | gram gramme
kg 1000 g | kilogram kilo
mg 1/1000 g | milligram
lb 453.59237 g | pound lbs
oz 28.349523125 g | ounce
ton 1000000 g | tonne
dollar 1 dollar | usd buck
cent 1/100 dollar | penny pennies
euro 1 euro | eur
yen 1 yen
yuan 1 yuan | 元 rmb 人民币
rupee 1 rupee
degree 1 degree | deg 度
radian 1 radian | rad
l 1/1000 m^3 | liter litre
ml 1/1000000 m^3 | milliliter millilitre
hertz 1 hertz | hz
newton 1 newton | n
joule 1 joule | j
watt 1 watt | w
volt 1 volt | v
ampere 1 ampere | amp a
ohm 1 ohm
unit 1 unit | 单位
米 1 m
厘米 1/100 m
毫米 1/1000 m
千米 1000 m | 公里
秒 1 s
分钟 60 s
小时 3600 s
天 86400 s
克 1 g
千克 1000 g | 公斤
平方厘米 1/10000 m^2
平方米 1 m^2
立方厘米 1/1000000 m^3
立方米 1 m^3
平方单位 1 unit^2
см 1/100 m | сантиметр сантиметра сантиметров
мм 1/1000 m | миллиметр миллиметров
м 1 m | метр метра метров
км 1000 m | километр километра километров
кг 1000 g | килограмм килограмма килограммов
г 1 g | грамм грамма граммов
ч 3600 s | час часа часов
мин 60 s | минута минуты минут
с 1 s | секунда секунды секунд
рубль 1 рубль | руб рубля рублей
градус 1 degree | градуса градусов
"""
MULTIPLIERS = {
    "hundred": 100,
    "thousand": 1_000,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "dozen": 12,
    "万": 10**4,
    "亿": 10**8,
}
PERCENT = {"percent", "percents", "percentage", "pct"}
ORDINALS = {"th", "st", "nd", "rd"}
_RATES = {"mph": ("mi", "h"), "kph": ("km", "h"), "kmph": ("km", "h"), "kmh": ("km", "h"), "mps": ("m", "s"), "fps": ("ft", "s")}
_ROW = "root power prime fibonacci term derivative triangular smallest largest number element multiple digit"
_IN_A_ROW = frozenset(_ROW.split())
"""What has a place in a row that is not its value: «the 5th prime» is not 5, but «the 5th floor» is."""
_SQUARED = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_FILLERS = {"a", "an", "the", "of", "in", "each", "total", "altogether", "exactly", "only", "then", "all", "for", "at", "on"}
_QUALIFIERS = """
or and not more less fewer than least most about approximately approx around roughly nearly almost if when unless where
between to over up under above below except but maybe possibly perhaps probably plus minus times without no never cannot
wrong incorrect either neither nor greater smaller larger at-least isn't n't mod base exceeding through until versus vs any
every i otherwise out mille some many few several half twice double bigger
higher lower beyond instead root 大于 小于 不是 至少 至多 不 非 约
大约 左右 以上 以下 超过 不到 不等于 如果 多于 少于 多 余 折 的平方 的倒数 分之 错
吗 以内 相反数 倒数 阶乘 误差 ではない 未満 以下 이상 이하 미만 초과 не неверно минимум nicht falsch
faux falso não non niet nie menos lo moins mindestens höchstens
"""
QUALIFIERS = frozenset(_QUALIFIERS.split())
_CHANGERS = """
is are was were be cannot should would can't factorial choose remainder point inverse reciprocal divided multiplied halves third thirds
fourth fourths fifth fifths sixth sixths seventh eighths eighth ninths tenth tenths hundredth hundredths thousandth
thousandths tens ones lakh lakhs crore crores score gross mil false invalid rejected impossible extraneous guess unsure estimate estimated
bound short off error mistake doubtful modulo sometimes often likely unlikely supposedly allegedly respectively
sevenths twelfth twelfths sixteenth sixteenths twentieth twentieths millionth millionths doubled tripled halved ish unverified
contradiction fails conditional depending tops ppm bn mn mln myriad quadrillion zillion googol mega тысяч тысячи тысяча миллион миллиона
миллионов миллиард миллиарда миллиардов millionen milliarden tausend dutzend millones millón millón cuadrado más less
excluded tsd 成 past billionth billionths minimum maximum onwards upwards downwards grand contradicts needs negative positive подходит too
"""
CHANGERS = frozenset(_CHANGERS.split())
"""Words behind a number that change it, or doubt it."""
_NO_PRODUCTS = ORDINALS | PERCENT | MULTIPLIERS.keys() | QUALIFIERS | CHANGERS | _SQUARED.keys() | {"per"}
MOST_WORDS = 6
_LARGE_LETTERS = {"k", "K", "M", "B"}
"""«5K» may be five thousand."""
LETTERS = frozenset("msghlLgVWNJKA")
"""Single letters that are units behind a space."""


_SUBSTRINGS = tuple(word for word in QUALIFIERS if not word.isascii())


def is_qualifier(word: str) -> bool:
    """Does a word change the number or deny it?  Chinese writes such words together with others."""
    return word in QUALIFIERS or word.endswith(("n't", "n’t")) or (not word.isascii() and any(part in word for part in _SUBSTRINGS))


class Unit(NamedTuple):
    """`size` times the base units; `scale` is what words like million multiply the number by."""

    kinds: tuple[tuple[str, int], ...]
    size: Fraction = Fraction(1)
    scale: int = 1
    percent: bool = False
    known: bool = True


def _table() -> dict[str, tuple[Fraction, str, int]]:
    found = {}
    for line in _TABLE.split("\n"):
        if line:
            entry, _, others = line.partition("|")
            name, size, base = entry.split()
            kind, _, power = base.partition("^")
            for word in [name, *others.split()]:
                found[word] = (Fraction(size), kind, int(power or 1))
    return found


_UNITS = _table()
UNIT_WORDS = frozenset(_UNITS) | frozenset(word + "s" for word in _UNITS)


def known_unit(word: str) -> str | None:
    """The table's name of a word in singular or plural, capital or not."""
    for form in (word, word.lower(), word.lower().removesuffix("s"), word.lower().removesuffix("es")):
        if form in _UNITS:
            return form
    return None


def is_unit_word(word: str) -> bool:
    """Letters in a formula that are a unit rather than a product of symbols: `cm`, `apples`, `th`."""
    if len(word) == 1:
        return False
    lower = word.lower()
    if len(word) > 4 or (len(word) == 4 and lower not in ("sinx", "cosx", "tanx") and bool(set(lower[1:]) & set("aeiou"))):
        return True
    return lower in _NO_PRODUCTS or lower in _RATES or known_unit(word) is not None


def read_unit(tokens: Tokens) -> Unit:
    """The unit that tokens behind a number are.

    Raises:
        Unreadable: they are none, or change the number.
    """
    reader = _Reader()
    end = 0
    for place, token in enumerate(tokens):
        if place < end:
            continue
        if token.kind == "open" and place and tokens[place - 1].text == "/":  # J/(kg K)
            end = matching(tokens, place) + 1
            token = Token("group", args=(tokens[place + 1 : end - 1],))
        reader.read(tokens, place, token)
    return reader.unit()


def letters_after(tokens: Tokens, place: int) -> str:
    """The word behind a place, in small letters; empty if there is none."""
    following = tokens[place + 1] if place + 1 < len(tokens) else None
    return following.text.lower() if following is not None and following.kind in ("word", "run") else ""


class _Reader:
    """Reads a unit from left to right."""

    def __init__(self) -> None:
        self.kinds: dict[str, int] = {}
        self.size, self.scale, self.percent, self.known = Fraction(1), 1, False, True
        self.sign, self.power = 1, 1
        self.words: list[str] = []
        self.last: tuple[str, Fraction, int] | None = None

    def unit(self) -> Unit:
        """What was read.  Raises Unreadable for a ratio of units of one kind, and for a sentence."""
        if self.size != 1 and not any(self.kinds.values()):
            raise Unreadable("a ratio of units")
        if len(self.words) > MOST_WORDS:
            raise Unreadable("a sentence is no unit")
        return Unit(_sorted(self.kinds), self.size, self.scale, self.percent, self.known)

    def read(self, tokens: Tokens, place: int, token: Token) -> None:
        """Take the next token."""
        word = token.text.lower() if token.kind in ("word", "run", "function") else ""
        if token.kind == "run" and len(token.text) == 1 and token.text not in LETTERS | {"C", "F"} and place:
            raise Unreadable("a symbol is no unit")
        if token.kind == "percent" or word in PERCENT or (self.sign < 0 and word == "cent"):
            self.percent, self.sign = True, 1
            if letters_after(tokens, place) == "of" and place + 2 < len(tokens):
                raise Unreadable("a percentage of something else")
        elif token.kind == "sup" and self.last is not None:
            self.raise_last(_power(token.args[0]))
        elif (token.kind == "op" and token.text == "/") or word == "per":
            self.sign = -1
        elif token.kind == "name" and token.text in ("Omega", "mu"):
            if token.text == "mu":
                self.size /= 10**6
            else:
                self.last = ("ohm", Fraction(1), self.sign)
                self.multiply(*self.last)
        elif token.kind in ("degree", "money") or word:
            self.word(tokens, place, token, word)
        elif token.kind in ("group", "accent", "frac") and token.args:
            self.inside(token)
        elif not ((token.kind == "op" and token.text in "*-") or token.text in (".", '"', "`", "[", "]")):
            raise Unreadable(f"{token.kind} {token.text} is no unit")

    def word(self, tokens: Tokens, place: int, token: Token, word: str) -> None:
        """Take a word, a degree or a currency sign."""
        if word == "times" and place == len(tokens) - 1 and not self.words:
            return
        if word in ORDINALS and any(token.text.lower() in _IN_A_ROW for token in tokens[place + 1 :]):
            raise Unreadable("the place of something in a row")
        if (
            is_qualifier(word)
            or word in CHANGERS
            or _is_mathematics(token)
            or (token.text in _LARGE_LETTERS and place == 0)
            or number_in_words([word]) is not None
        ):
            raise Unreadable(f"«{word}» is no unit")
        if word[:1] in ("万", "亿") and known_unit(word[1:]) is not None:
            self.scale *= MULTIPLIERS[word[0]]
            self.word(tokens, place, token._replace(text=word[1:]), word[1:])
            return
        if (multiplier := MULTIPLIERS.get(word) or MULTIPLIERS.get(word.removesuffix("s"))) is not None:
            self.scale *= multiplier
        elif word in ("squared", "cubed"):
            if self.last is None:
                raise Unreadable("a power of the number")
            self.raise_last(_SQUARED[word])
        elif word in _SQUARED:
            self.power = _SQUARED[word]
        elif word in _RATES:
            for name, power in zip(_RATES[word], (1, -1), strict=True):
                self.multiply(*_one("word", name, self.sign * power))
        elif not (word in ORDINALS or (word in _FILLERS and not _is_inch(tokens, place))):
            self.last = _one(token.kind, token.text, self.sign * self.power)
            self.power = 1
            if self.last[0] not in _BASES:
                self.known = False
                self.words.append(self.last[0])
            self.multiply(*self.last)

    def inside(self, token: Token) -> None:
        """Take a group, or a fraction of units."""
        inner = read_unit(token.args[0])
        if token.kind == "frac":
            inner = _over(inner, read_unit(token.args[1]))
        for kind, power in inner.kinds:
            self.kinds[kind] = self.kinds.get(kind, 0) + self.sign * power
        self.size *= inner.size**self.sign
        self.scale *= inner.scale
        self.percent, self.known = self.percent or inner.percent, self.known and inner.known

    def multiply(self, kind: str, size: Fraction, power: int) -> None:
        """Multiply by a power of one unit."""
        self.kinds[kind] = self.kinds.get(kind, 0) + power
        self.size *= size**power

    def raise_last(self, power: int) -> None:
        """Raise the unit that was read last to a power."""
        if self.last is not None:
            kind, size, own = self.last
            self.multiply(kind, size, own * (power - 1))


def _sorted(kinds: dict[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((kind, power) for kind, power in kinds.items() if power))


def _over(top: Unit, bottom: Unit) -> Unit:
    kinds = dict(top.kinds)
    for kind, power in bottom.kinds:
        kinds[kind] = kinds.get(kind, 0) - power
    return top._replace(kinds=_sorted(kinds), size=top.size / bottom.size)


def _is_mathematics(token: Token) -> bool:
    """Is a word the name of a symbol or function («7 pi», «7 x») rather than a unit?"""
    if token.kind == "word" and len(token.text) == 1 and token.text.isascii():
        return token.text not in LETTERS | {"C", "F", "a"}
    return (
        token.text in NAMES - {"angle"}
        or token.text in FUNCTIONS - {"min", "sec", "deg"}
        or token.text in ("infinity", "cosine", "sine", "sqrt", "lim", "int", "sum", "prod")
    )


def _is_inch(tokens: Tokens, place: int) -> bool:
    """Is `in` here the unit (`5 in^2`) rather than the word («in total»)?"""
    return tokens[place].text == "in" and not any(token.kind in ("word", "run") for token in tokens[place + 1 :])


_BASES = {kind for _, kind, _ in _UNITS.values()}


def _one(kind: str, text: str, power: int) -> tuple[str, Fraction, int]:
    if kind == "degree":
        return ("degree", Fraction(1), power)
    name = known_unit(text)
    if name is None:
        return (text.lower().removesuffix("s"), Fraction(1), power)
    size, base, own = _UNITS[name]
    if own == 1:
        return (base, size, power)
    return (base, _root(size, own), power * own)


def _root(size: Fraction, power: int) -> Fraction:
    """The factor of one dimension of an area or volume in the table: exact for powers of ten."""
    for candidate in (Fraction(1), Fraction(1, 10), Fraction(1, 100), Fraction(1, 1000)):
        if candidate**power == size:
            return candidate
    raise ValueError(f"the table has a unit of size {size} in {power} dimensions: only powers of ten are meant")


def _power(tokens: Tokens) -> int:
    sign, rest = (-1, tokens[1:]) if tokens and tokens[0].kind == "op" and tokens[0].text == "-" else (1, tokens)
    if len(rest) == 1 and rest[0].kind == "num" and rest[0].value is not None and rest[0].value.denominator == 1 and 0 < rest[0].value < 7:
        return sign * int(rest[0].value)
    raise Unreadable("the power of a unit")


def same_kind(gold: Unit, answer: Unit) -> bool:
    """Do two units measure the same?  «units» fits every unit of its power."""
    if gold.kinds == answer.kinds:
        return True
    if {"unit"} in ({kind for kind, _ in gold.kinds}, {kind for kind, _ in answer.kinds}):
        return sorted(power for _, power in gold.kinds) == sorted(power for _, power in answer.kinds)
    words = [{pair for pair in unit.kinds if pair[0] not in _BASES} for unit in (gold, answer)]
    known = [{pair for pair in unit.kinds if pair[0] in _BASES} for unit in (gold, answer)]
    return known[0] == known[1] and bool(words[0] and words[1]) and (words[0] <= words[1] or words[1] <= words[0])
