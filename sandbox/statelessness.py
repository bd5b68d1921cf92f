"""Which programs provably keep nothing from one test to the next, told by their text alone.

A text is hostile, and parsing is the sandbox's work: this is a look at its lines in time in proportion to
them. It errs to one side. What is not on the short lists below may keep something, and such a program is only
run once more (`sandbox.shared_state`); a cheat that hides its state from this look gets the verdict without
state, and has gained nothing.

A function can reach no object of an earlier call except through the module, its classes and their instances, the
defaults and decorators of its definitions, and what it imports. So it keeps nothing if the module and its
classes hold definitions and constants only, without decorators and with constant defaults, if no attribute is
stored, and if nothing is named that reaches further. The body of a program on standard input runs anew for each
test, so only what outlives it counts: globals, and what it imports.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_DOCSTRING = re.compile(
    r'^[ \t]*[rRuU]?(?:"""(?:[^"]|"(?!""))*+"""|\'\'\'(?:[^\']|\'(?!\'\'))*+\'\'\')[ \t]*$', re.M
)
_SAFE_MODULES = frozenset((
    "__future__", "abc", "array", "bisect", "cmath", "collections", "copy", "dataclasses", "datetime", "decimal", "enum",
    "fractions", "functools", "heapq", "itertools", "json", "math", "numbers", "numpy", "operator", "queue", "random",
    "re", "sortedcontainers", "statistics", "string", "sys", "time", "typing",
))  # fmt: skip
_SAFE_IN_PROGRAMS = _SAFE_MODULES | {"io", "threading", "types"}
_IMPORT = re.compile(r"[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([\w., \t]+)\Z)")
_MENTIONS_IMPORT = re.compile(r"\bimport(?:lib)?\b")

_WORD = re.compile(r"[^\W\d]\w*")
_REACHING = frozenset((
    "global", "globals", "vars", "exec", "eval", "compile", "setattr", "delattr", "builtins", "open", "environ", "modules",
    "argv", "seed", "getrecursionlimit", "register", "reload", "_getframe", "warnoptions", "path_importer_cache", "path_hooks",
    "meta_path",
))  # fmt: skip
_SETTERS = ("set", "add_", "change_", "clear_", "simplefilter", "filterwarnings")
_NO_SETTERS = frozenset(("set", "setdefault", "setrecursionlimit"))
_LIMIT_OF_DATA = re.compile(r"\bsetrecursionlimit\b(?!\([\d_* +]*\))")
_METHODS = frozenset((
    "__init__", "__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__", "__hash__", "__repr__", "__str__", "__len__",
    "__iter__", "__next__", "__contains__", "__add__", "__bool__", "__post_init__",
))  # fmt: skip
"""Special names that may be defined, and called: they reach nothing by themselves."""
_ATTRIBUTE = re.compile(r"\.[ \t]*(?:[^\W\d]\w*+(?![ \t]*\()|$)", re.M)
"""An attribute that is not called, which may be stored to."""
_CONSTANT_ATTRIBUTE = re.compile(
    r"\b(?:math\.(?:inf|pi|e)|sys\.maxsize|string\.[a-z_]+)\b(?![ \t]*(?:[-+*/%&|^@<>]{0,3}=(?!=)|[.\[]))"
)
_CONSTANT = (
    r"(?:None|True|False|math\.inf|-?float\((?:'-?inf'|\"-?inf\")\)|'[^'\\\n]*'|\"[^\"\\\n]*\"|\d[\w.]*+|[-+*/%~&|^<>(), \t])++"
)
_ASSIGNED_CONSTANT = re.compile(rf"\w+[ \t]*(?::[ \t]*\w+[ \t]*)?=(?!=){_CONSTANT}")
_DEFAULT = re.compile(r"=[ \t]*(?:None|True|False|-?\d[\w.]*|-?float\(['\"]-?inf['\"]\)|'[^'\\\n]*'|\"[^\"\\\n]*\")[ \t]*(?=[,)\n])")
_CLASS = re.compile(r"class[ \t]+\w+[ \t]*(?:\([ \t]*(?:object[ \t]*)?\))?[ \t]*:[ \t]*")
_HARMLESS = re.compile(r"@(?:staticmethod|classmethod)|pass|\.\.\.|(?:sys\.)?setrecursionlimit\([\d_* +]*\)")

_REACHING_FROM_PROGRAMS = (_REACHING - {"eval", "compile"}) | {"getcontext", "stack_size", "reconfigure", "detach", "close", "path"}
_STORED = re.compile(r"\.[ \t]*+\w++[ \t]*+(?:[-+*/%&|^@]|//|\*\*|<<|>>)?=(?!=)")
_TARGET_OF_FOR = re.compile(r"\bfor\b(?:(?! in\b)[^\n.:])*+\.")
_TARGET_OF_WITH = re.compile(r"\bas[ \t]+\w+[.\[]")
_ANNOTATED = re.compile(r"[ \t]*\w+\.[\w.]+[ \t]*:(?!=)")
_OWN = re.compile(r"(?:^|[^\w.)\]])(?:self|cls)(?:\.\w+)*\Z")
_LONGEST_PATH = 200


def functions_may_keep_state(source: str) -> bool:
    """False if no call of a function, or of a method of one `Solution`, can depend on the calls before it."""
    lines = _lines_of_code(source)
    if lines is None:
        return True
    text = "\n".join(lines)
    if _reaches_further(text, _REACHING, _METHODS) or _ATTRIBUTE.search(_CONSTANT_ATTRIBUTE.sub("0", text)):
        return True
    return _imports_more(lines, _SAFE_MODULES) or not _only_definitions(lines)


def programs_may_keep_state(source: str) -> bool:
    """False if no run of a program on standard input can depend on the runs before it in the same process."""
    lines = _lines_of_code(source)
    if lines is None:
        return True
    text = "\n".join(lines)
    if _reaches_further(text, _REACHING_FROM_PROGRAMS, _METHODS | {"__name__", "__main__"}):
        return True
    return _imports_more(lines, _SAFE_IN_PROGRAMS) or _stores_elsewhere(lines, text)


def _reaches_further(text: str, names: frozenset[str], special: frozenset[str]) -> bool:
    words = set(_WORD.findall(text))
    if not words.isdisjoint(names) or ("setrecursionlimit" in words and _LIMIT_OF_DATA.search(text)):
        return True
    return any(
        (word.startswith("__") and word not in special) or (word.startswith(_SETTERS) and word not in _NO_SETTERS)
        for word in words
    )


def _stores_elsewhere(lines: Sequence[str], text: str) -> bool:
    """Whether an attribute is stored of something that is not `self`: it may belong to a module."""
    for found in _STORED.finditer(text):
        if not _OWN.search(text[max(0, found.start() - _LONGEST_PATH) : found.start()]):
            return True
    for line in lines:
        if "." not in line:
            continue
        if ("for" in line and _TARGET_OF_FOR.search(line)) or (" as " in line and _TARGET_OF_WITH.search(line)):
            return True
        if "del " in line or (":" in line and _ANNOTATED.match(line)):
            return True
        target, equals, _ = line.partition("=")
        if equals and "." in target and "," in target and "(" not in target:
            return True
    return False


def _lines_of_code(source: str) -> list[str] | None:
    """The lines that are not empty, without comments and docstrings; None where that takes more than a look."""
    if '"""' in source or "'''" in source:
        source = _DOCSTRING.sub("", source)
        if '"""' in source or "'''" in source:
            return None
    if "\\\n" in source or "\f" in source or "\r" in source:
        return None
    lines = []
    for line in source.split("\n"):
        if "#" in line:
            before = line.partition("#")[0]
            if "'" not in before and '"' not in before:
                line = before
        if line := line.rstrip():
            lines.append(line)
    return lines


def _imports_more(lines: Sequence[str], safe: frozenset[str]) -> bool:
    """Whether a module is imported of which it is not known that its functions keep nothing."""
    for line in lines:
        if "import" not in line or not _MENTIONS_IMPORT.search(line):
            continue
        if (found := _IMPORT.match(line)) is None or ";" in line:
            return True
        names = [found[1]] if found[1] else [name.split()[0] for name in found[2].split(",") if name.strip()]
        if any(name.partition(".")[0] not in safe for name in names):
            return True
    return False


def _only_definitions(lines: Sequence[str]) -> bool:
    """Whether module and classes hold nothing but imports, constants, and functions whose defaults are constants."""
    owners: list[tuple[int, bool]] = []  # of the line: indentation, and whether it is a function
    header, depth = "", 0
    for line in lines:
        text = line.lstrip()
        if not header:
            if text[0] in ")]}":  # the end of something that has been looked at
                continue
            indent = len(line) - len(text)
            while owners and indent <= owners[-1][0]:
                owners.pop()
            if owners and owners[-1][1]:
                continue
            if not text.startswith(("def ", "async def ")):
                if _CLASS.fullmatch(text):
                    owners.append((indent, False))
                elif not (
                    text.startswith(("import ", "from ")) or _HARMLESS.fullmatch(text) or _ASSIGNED_CONSTANT.fullmatch(text)
                ):
                    return False
                continue
            owners.append((indent, True))
        header += text + "\n"
        depth += sum(map(text.count, "([{")) - sum(map(text.count, ")]}"))
        if depth <= 0:
            if not text.endswith(":") or depth < 0 or "=" in _DEFAULT.sub("", header):
                return False
            header, depth = "", 0
    return not header
