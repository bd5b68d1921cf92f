"""The quirks of LiveCodeBench's official checker by name, and how a disagreement shows which one it is.

Definition: lcb_runner/evaluation/testing_util.py of LiveCodeBench at 28fef95; docs/livecodebench.md says what each quirk
is. A quirk is recognised by what the failing run reported, by the text of the program, and by the values: evidence, not
proof. Only the text is looked at, never a syntax tree, in time in proportion to it, for programs are hostile.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.records import CodeTest
from sandbox import TestResult, Verdict
from sandbox.compare import text_matches
from sandbox.inside.lcb import prelude
from sandbox.model import KEPT_KB

UNEXPLAINED = "unexplained"
CARRIAGE_RETURN = "carriage-return"
"""The quirk that is found by judging again: \\r\\n in the input reaches the program untranslated."""


@dataclass(frozen=True)
class Evidence:
    """What a quirk may be recognised by. Only the text of programs is looked at, never their syntax tree: they
    are hostile, and parsing is the sandbox's work.
    """

    code: str
    test: CodeTest
    native: TestResult
    compat: TestResult

    @property
    def functional(self) -> bool:
        return self.test.input is None

    @property
    def officially_fails(self) -> bool:
        return self.native.verdict is Verdict.AC


@dataclass(frozen=True)
class Quirk:
    """A way in which the official checker is wrong: `what` it does, and how a disagreement shows it.

    `fails`: it fails right programs (True), passes wrong ones (False), or either (None). `code` is searched in the
    program, `error` in the standard error or the message of the mode that failed; `check` looks at the rest. The
    patterns take time in proportion to the text, which is hostile.
    """

    name: str
    what: str
    fails: bool | None
    code: str = ""
    error: str = ""
    check: Callable[[Evidence], bool] | None = None

    def explains(self, evidence: Evidence) -> bool:
        """Whether all that the quirk is recognised by is there."""
        if self.fails is not None and self.fails != evidence.officially_fails:
            return False
        failed = evidence.compat if evidence.officially_fails else evidence.native
        if self.error and not re.search(self.error, f"{failed.stderr}\n{failed.message}"):
            return False
        if self.code and not re.search(self.code, evidence.code):
            return False
        return self.check is None or self.check(evidence)


def name_quirk(evidence: Evidence) -> str:
    """The name of the first quirk that explains the disagreement, or `unexplained`."""
    return next((quirk.name for quirk in QUIRKS if quirk.explains(evidence)), UNEXPLAINED)


def _only_compared_otherwise(evidence: Evidence) -> bool:
    """The output that one mode refuses is right for the other one."""
    failed, mode = (evidence.compat, "native") if evidence.officially_fails else (evidence.native, "lcb_compat")
    if evidence.functional or failed.verdict is not Verdict.WA or len(failed.stdout) == KEPT_KB << 10:
        return False
    return text_matches(str(evidence.test.expected).encode(), failed.stdout.encode(), mode)


def _spelled_otherwise(evidence: Evidence) -> bool:
    return _only_compared_otherwise(evidence) and evidence.native.stdout.split() != str(evidence.test.expected).split()


def _nested(value: Any) -> bool:
    """Whether there is a list below the outermost one."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return any(isinstance(item, list) or _nested(item) for item in items)


def _wrong_value(evidence: Evidence) -> bool:
    failed = evidence.compat if evidence.officially_fails else evidence.native
    return evidence.functional and failed.verdict is Verdict.WA


@functools.cache
def _prelude_names() -> frozenset[str]:
    return frozenset(prelude())


def _misses_prelude(evidence: Evidence) -> bool:
    found = re.findall(r"NameError: name '(\w+)' is not defined", evidence.native.stderr)
    return bool(found) and found[-1] in _prelude_names()


def _guard_is_unwrapped(code: str) -> bool:
    """Whether the program's only mention of `__name__` is the guard that the official checker looks for."""
    lines = [line for line in code.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    guards = [number for number, line in enumerate(lines) if "__name__" in line]
    if len(guards) != 1 or not _GUARD.match(lines[guards[0]]):
        return False
    return all(line[0] in " \t" for line in lines[guards[0] + 1 :])


def _imports_late(code: str) -> bool:
    """Whether a top-level import stands below other code."""
    lines = [line for line in code.splitlines() if line[:1].strip() and line[0] not in "#\"')]}"]
    imports = [line.startswith(("import ", "from ")) for line in lines]
    return True in imports[imports.index(False) :] if False in imports else False


def _says_other_names(evidence: Evidence) -> bool:
    return any(name in evidence.compat.stdout for name in ("<locals>", "wrapped_function", "tmp_sol"))


def _asks_for_scope(evidence: Evidence) -> bool:
    """A program on standard input that does; `eval` alone is often used to read numbers."""
    looked_up = re.search(r"\b(?:exec|globals|locals|vars|dir)\s*\(", evidence.code)
    return not evidence.functional and bool(looked_up or "NameError" in evidence.compat.stderr)


_GUARD = re.compile(r"if(?: +| *\( *)__name__ *== *(['\"])__main__\1(?: *\))? *:")
_FROM_SYS = r"(?m)^[ \t]*from[ \t]+sys[ \t]+import\b[^\n]*"
_STREAM = r"\bstd(?:in|out)\b"
_STREAM_ATTRIBUTE = (
    _STREAM + r" *\. *(?:encoding|errors|name|mode|newlines|line_buffering|write_through|readable|writable|seekable|seek|tell|"
    r"truncate|getvalue|isatty|fileno|detach|reconfigure|closed?|__\w+)\b|\bstdin *\. *write|"
    r"\b(?:type|isinstance|hasattr|getattr|dir|vars|repr|id)\( *(?:sys *\. *)?" + _STREAM + r" *[,)]|" + _STREAM + r" +is\b|__stdin__"
)
_REMOVED = (
    r"\b(?:quit|help|kill|system|putenv|remove|removedirs|rmdir|fchdir|setuid|fork|forkpty|killpg|renames?|truncate|"
    r"replace|unlink|fchmod|fchown|chmod|chown|chroot|getcwd|chdir|abspath|realpath|relpath|cwd|absolute|resolve)\s*\(|\benviron\b"
)

QUIRKS = (
    Quirk("shared-state", "all tests share one process, and calls one Solution object", None, check=lambda e: (
        "the calls before it" in e.compat.message)),
    Quirk("inner-space", "white space inside a line counts unless all of its tokens are numbers", True,
          check=_only_compared_otherwise),
    Quirk("number-spelling", "tokens are equal as Decimal: 1_000 is 1000, 1.0 is 1, digits of any script", False,
          check=_spelled_otherwise),
    Quirk("unicode-space", "lines are stripped of all that Unicode calls white space", False,
          check=_only_compared_otherwise),
    Quirk("stdin-mock", "sys.stdin cannot be iterated, entered, or asked for its descriptor", True,
          error=r"MockStdinWithBuffer|can only join an iterable|UnsupportedOperation: (?:fileno|detach)"),
    Quirk("buffer-mock", "sys.stdin.buffer has read and readline only", True, error="'MockBuffer' object"),
    Quirk("stdout-mock", "sys.stdout has no buffer and cannot be closed", True,
          error=r"'_io.StringIO' object has no attribute '(?!name|mode)|missing 1 required positional argument: 'x'"),
    Quirk("array-truth", "an array of several elements has no truth value to compare by", True,
          error="truth value of an array"),
    Quirk("solution-required", "only a text with the words class Solution has one, and there it must be, with the method", True,
          error=r"KeyError: 'Solution'|'Solution' object has no attribute|module 'tmp_sol' has no attribute"),
    Quirk("future-import", "the prelude stands before the program's first line", True, error="from __future__ imports"),
    Quirk("empty-body", "a program of imports only leaves an empty function", True, error="nothing is left"),
    Quirk("unimportable", "resource, psutil, joblib, ipdb and tkinter cannot be imported", True,
          error=r"import of \w+ halted; None in sys\.modules"),
    Quirk("removed-function", "quit, help and functions of os are None", True, code=_REMOVED,
          error="'NoneType' object is not callable"),
    Quirk("unregistered-module", "the program's module is not in sys.modules", True,
          error=r"'NoneType' object has no attribute '__dict__'|module '__main__' has no attribute|"
                r"(?:module named|of module|KeyError:) 'tmp_sol'"),
    Quirk("unregistered-module", "the program's module is not in sys.modules", True, code=r"\bget_type_hints\b",
          error="NameError", check=lambda e: e.functional),
    Quirk("unparse", "what ast.unparse cannot write is not wrapped, and fails", True, error=(
        r"not compiled: (?:RecursionError|ValueError)")),
    Quirk("process-end", "os._exit ends the checker's process before it has judged", True, code=r"\b_exit\b",
          error="ended before"),
    Quirk("builtins-copied", "the prelude copies the builtins, and __builtins__ is a dictionary", None, code=r"\b(?:__)?builtins(?:__)?\b"),
    Quirk("global-of-main", "top-level names are local, so `global` does not find them", True, code=r"\bglobal\b",
          error="NameError"),
    Quirk("text-scope", "exec, eval, globals(), locals(), vars() and dir() see the scope of a function", None,
          code=r"\b(?:exec|eval|globals|locals|vars|dir)\s*\(", check=_asks_for_scope),
    Quirk("body-in-function", "the program is the body of a function: scopes, imports first, return allowed", None,
          error=r"NameError: name '(?!__)\w+' is not defined|UnboundLocalError|cannot access local variable|"
                r"import \* only allowed|Can't pickle local|outside function|no binding for nonlocal|KeyError: '\w+'|"
                r"is not callable", check=lambda e: not e.functional and not (
                    not e.officially_fails and _misses_prelude(e))),
    Quirk("prelude", "names of eighteen modules are predefined, and imports come first", False, check=_misses_prelude),
    Quirk("recursion-limit", "the recursion limit is 50,000 from the start", False, error="RecursionError"),
    Quirk("exit-status", "SystemExit is swallowed, whatever its status", False, check=lambda e: (
        e.native.verdict is Verdict.RE and "Traceback" not in e.native.stderr)),
    Quirk("main-guard", "only a last `if __name__ == '__main__'` is unwrapped; __name__ is another", None,
          code=r"(?<![.\w])__name__", check=lambda e: not _guard_is_unwrapped(e.code)),
    Quirk("qualified-name", "classes, functions and frames say that they are in wrapped_function, in module tmp_sol", None,
          check=_says_other_names),
    Quirk("exit-handler", "atexit handlers, and threads that nothing waits for, come after the verdict", None,
          code=r"\batexit\b|\bthreading\b"),
    Quirk("descriptor-0", "descriptor 0 is empty: open(0), os.read(0, n)", None,
          code=r"\b(?:f?d?open|FileIO|readv?|mmap) *\( *(?:file *= *)?0\b|/dev/(?:stdin|fd/0)|"
               r"\bos *\. *(?:p?readv?|fstat) *\("),
    Quirk("stream-attributes", "sys.stdin and sys.stdout are in memory: encoding, name, type and the like are others", None,
          code=_STREAM_ATTRIBUTE),
    Quirk("stdin-by-name", "`from sys import stdin` is another stream, whose readline keeps no newline", None,
          code=_FROM_SYS + r"(?:\bstdin\b|\*)"),
    Quirk("stdout-elsewhere", "what is not printed through sys.stdout is lost", None,
          code=_FROM_SYS + r"(?:\bstdout\b|\*)|__stdout__|\bos\.write\b|\b(?:f?d?open|FileIO) *\( *1\b|/dev/stdout|/dev/fd/1"),
    Quirk("buffer-readline", "sys.stdin.buffer.readline gives the first line each time", None,
          code=r"\.buffer\b", check=lambda e: "readline" in e.code),
    Quirk("read-restarts", "read and readlines give the whole input each time, lines without newlines", None,
          code=r"\bread\b|\breadlines\b"),
    Quirk("recursion-limit", "the recursion limit is 50,000 from the start", None, code=r"\b(?:RecursionError|getrecursionlimit)\b"),
    Quirk("nan", "NaN never equals NaN", True, check=lambda e: _wrong_value(e) and "nan" in repr(e.test.expected)),
    Quirk("nested-tuple", "only the outermost tuple becomes a list", True, check=lambda e: (
        _wrong_value(e) and _nested(e.test.expected))),
    Quirk("exact-number", "a Fraction or Decimal equals a number", False, code=r"\b(?:Fraction|Decimal)\b",
          check=_wrong_value),
    Quirk("bool-is-int", "True is 1", False, check=_wrong_value),
    Quirk("module-attributes", "__doc__, __file__, __annotations__ and the like are not the program's", None,
          code=r"\b__(?:doc|file|annotations|spec|package|loader)__"),
    Quirk("qualified-name", "classes, functions and frames say that they are in wrapped_function, in module tmp_sol", None,
          code=r"\b__(?:qual)?name__\b|\b__module__\b|\bco_name\b|\binspect\b|\btraceback\b|\b_getframe\b"),
    Quirk("removed-function", "quit, help and functions of os are None", None, code=r"\b(?:quit|help|shutil|subprocess)\b"),
    Quirk("environment", "the environment is the checker's, with OMP_NUM_THREADS", None, code=r"\b(?:environb?|getenv)\b"),
    Quirk("caught-name-error", "which names exist, and the error of one that does not, is another", None,
          code=r"\b(?:NameError|UnboundLocalError)\b"),
    Quirk("imports-first", "imports come before all other code", None, check=lambda e: not e.functional and _imports_late(e.code)),
)  # fmt: skip
"""In the order in which they are tried: those with the surest evidence first."""
