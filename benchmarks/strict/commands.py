"""What the commands and characters of LaTeX are to the reader of answers."""

from __future__ import annotations

from benchmarks.strict.tokens import Token

_FUNCTIONS = {
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "arccot", "sinh", "cosh", "tanh", "coth", "log", "ln",
    "lg", "exp", "max", "min", "gcd", "lcm", "deg", "det", "dim", "ker", "Re", "Im", "arg", "sgn", "sign", "Pr", "sqrt", "abs",
    "floor", "ceil", "binom", "asin", "acos", "atan", "cosec", "ctg", "tg", "cbrt", "cis",
}  # fmt: skip


FUNCTIONS = frozenset(_FUNCTIONS)


NAMES = {
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi", "pi", "rho",
    "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon",
    "Phi", "Psi", "Omega", "infty", "ell", "hbar", "partial", "emptyset", "angle", "triangle", "aleph", "nabla",
}  # fmt: skip


RENAMED = {
    "varepsilon": "epsilon", "vartheta": "theta", "varphi": "phi", "varrho": "rho", "varsigma": "sigma", "varnothing": "emptyset",
    "infin": "infty", "measuredangle": "angle", "imath": "i", "jmath": "j",
}  # fmt: skip


_OPERATORS = {
    "cdot": "*", "times": "*", "ast": "*", "cdotp": "*", "bullet": "*", "star": "*", "div": "/", "pm": "±", "mp": "∓", "cup": "∪",
    "cap": "∩", "setminus": "\\", "backslash": "\\", "over": "over", "choose": "choose", "slash": "/", "bigcup": "∪",
}  # fmt: skip


_RELATIONS = {
    "le": "≤", "leq": "≤", "leqslant": "≤", "leqq": "≤", "ge": "≥", "geq": "≥", "geqslant": "≥", "geqq": "≥", "lt": "<", "gt": ">",
    "ne": "≠", "neq": "≠", "approx": "≈", "approxeq": "≈", "simeq": "≈", "doteq": "≈", "equiv": "≡", "cong": "≅", "in": "∈", "notin": "∉",
    "sim": "~", "to": "→", "rightarrow": "→", "longrightarrow": "→", "Rightarrow": "⇒", "implies": "⇒", "iff": "⇔",
    "Leftrightarrow": "⇔", "subset": "⊂", "subseteq": "⊂", "mid": "|", "propto": "∝", "coloneqq": "=", "triangleq": "=", "colon": ":",
    "leftrightarrow": "⇔", "mapsto": "→", "ni": "∋",
}  # fmt: skip


_BRACKETS = {
    "lbrace": ("open", "{"), "rbrace": ("close", "}"), "{": ("open", "{"), "}": ("close", "}"), "langle": ("open", "<"),
    "rangle": ("close", ">"), "lfloor": ("open", "⌊"), "rfloor": ("close", "⌋"), "lceil": ("open", "⌈"), "rceil": ("close", "⌉"),
    "lvert": ("open", "|"), "rvert": ("close", "|"), "lbrack": ("open", "["), "rbrack": ("close", "]"), "lparen": ("open", "("),
    "rparen": ("close", ")"), "vert": ("bar", "|"), "lVert": ("open", "|"), "rVert": ("close", "|"), "|": ("bar", "|"),
    "Vert": ("bar", "|"),
}  # fmt: skip


SILENT = {
    "displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "rm", "bf", "it", "sf", "tt", "sl", "sc", "em", "mathstrut",
    "tiny", "scriptsize", "footnotesize", "small", "normalsize", "large", "Large", "LARGE", "huge", "Huge", "left", "right", "middle",
    "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr", "Biggl", "Biggr", "bigm", "Bigm", "therefore",
    "because", "checkmark", "blacksquare", "square", "Box", "qed", "qedsymbol", "hfill", "centering", "noindent", "boldmath", "hline",
    "displaylimits", "strut", "bigstar", "normalfont", "rmfamily", "bfseries", "itshape", "upshape", "allowbreak", "nobreak", "break",
    "(", ")", "[", "]", "!",
}  # fmt: skip


SPACES = {
    ",",
    ";",
    ":",
    ">",
    " ",
    "quad",
    "qquad",
    "thinspace",
    "enspace",
    "space",
    "medspace",
    "thickspace",
    "nobreakspace",
    "/",
    "\n",
    "\t",
}


WRAPPERS = {
    "boxed", "fbox", "framebox", "bm", "boldsymbol", "mathbf", "mathit", "mathsf", "mathtt", "mathnormal", "ensuremath", "underline",
    "mathop", "mathbin", "mathrel", "mathord", "mathstrut", "smash", "pmb", "displaymath", "uline", "emph", "bold", "mathfrak",
    "mathcal", "mathscr", "underbrace", "overbrace", "mathinner", "operatorname*", "hbox", "mathpunct", "mathopen", "mathclose",
}  # fmt: skip


TEXTS = {
    "text", "textbf", "textit", "textrm", "textsf", "texttt", "textnormal", "textsc", "textup", "mbox", "textmd", "textsl", "mathrm",
    "operatorname", "mathring", "textcolor", "unit", "si", "textstyle*", "intertext", "mathnormal*",
}  # fmt: skip


DROPPED = {
    "hspace",
    "vspace",
    "phantom",
    "hphantom",
    "vphantom",
    "label",
    "tag",
    "color",
    "kern",
    "mkern",
    "hskip",
    "mskip",
    "rule",
    "hspace*",
}


ACCENTS = {
    "overline",
    "bar",
    "dot",
    "hat",
    "vec",
    "widehat",
    "widetilde",
    "tilde",
    "overrightarrow",
    "overleftarrow",
    "ddot",
    "overset",
    "stackrel",
}


FRACTIONS = {"frac", "dfrac", "tfrac", "cfrac", "nicefrac", "sfrac", "flatfrac", "xfrac"}


_MONEY = {"$": "dollar", "euro": "euro", "pounds": "pound", "textsterling": "pound", "pound": "pound", "yen": "yen", "rupee": "rupee",
          "textdollar": "dollar", "dollar": "dollar", "texteuro": "euro"}  # fmt: skip


_SEPARATORS = """
and or And Or AND OR 或 和 或者 以及 与 及 и или ou et oder und y e 또는 または
"""
SEPARATORS = frozenset(_SEPARATORS.split())


PLAIN = {"+": ("op", "+"), "-": ("op", "-"), "*": ("op", "*"), "/": ("op", "/"), "=": ("rel", "="), "<": ("rel", "<"), ">": ("rel", ">"),
          "(": ("open", "("), ")": ("close", ")"), "[": ("open", "["), "]": ("close", "]"), ",": ("sep", ","), ";": ("sep", ";"),
          "|": ("bar", "|"), "!": ("op", "!"), "'": ("op", "'"), ":": ("rel", ":"), "%": ("percent", "%"), "&": ("unknown", "&"),
          "~": ("rel", "~"), "?": ("unknown", "?"), '"': ("unknown", '"'), ".": ("unknown", "."), "@": ("unknown", "@"),
          "#": ("unknown", "#"), "`": ("unknown", "`"), "}": ("unknown", "}"), "{": ("unknown", "{")}  # fmt: skip


JOINED = {"quad", "qquad", "cdot", "times"} | (_RELATIONS.keys() - {"to", "in", "ni", "le", "ge", "lt", "gt", "ne", "sim", "mid"})


KNOWN = {"newline", "prime", "choose"} | (
    _FUNCTIONS | NAMES | RENAMED.keys() | _OPERATORS.keys() | _RELATIONS.keys() | _BRACKETS.keys() | SILENT | SPACES | WRAPPERS | TEXTS
    | DROPPED | ACCENTS | FRACTIONS | _MONEY.keys()
)  # fmt: skip


def simple_token(name: str) -> Token | None:
    """The token of a command without arguments; None for one that is not known."""
    if name in FUNCTIONS:
        return Token("function", name)
    if name in NAMES:
        return Token("name", name)
    if name in _OPERATORS:
        return Token("op", _OPERATORS[name])
    if name in _RELATIONS:
        return Token("rel", _RELATIONS[name])
    if name in _BRACKETS:
        return Token(*_BRACKETS[name])
    if name in _MONEY:
        return Token("money", _MONEY[name])
    if name in ("cent", "textcent"):
        return Token("word", "cents")
    if name in ("degree", "circ", "textdegree"):
        return Token("degree")
    if name in ("%", "percent"):
        return Token("percent", "%")
    if name in ("ldots", "dots", "cdots", "dotsc", "dotsb", "vdots", "textellipsis"):
        return Token("dots")
    if name in ("lor", "vee"):
        return Token("sep", "or")
    if name in ("land", "wedge"):
        return Token("sep", "and")
    if name in ("i", "j"):
        return Token("run", name)
    if name == "&":
        return Token("sep", "and")
    if name in ("#", "_"):
        return Token("unknown", name)
    return None
