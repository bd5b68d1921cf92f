"""Asserts that only call the program with values that are written out: their calls, and what is expected of each."""

from __future__ import annotations

import ast
import copy
import itertools
import math
from collections.abc import Sequence
from typing import Any, Self

from klear_repro.asserts.literals import Literals, NotLiteral

_WRAPPERS = frozenset({"abs", "bool", "dict", "float", "frozenset", "int", "len", "list", "max", "min", "round", "set", "sorted", "str", "sum", "tuple"})
_NODES = {"list_node": "__list_values__", "tree_node": "__tree_values__"}
_SAME = {"is_same_list": "list_node", "is_same_tree": "tree_node"}
_ORDER: dict[type[ast.cmpop], tuple[str, str]] = {ast.Lt: ("<", ">"), ast.LtE: ("<=", ">="), ast.Gt: (">", "<"), ast.GtE: (">=", "<=")}
_NOT_PROGRAMS = _WRAPPERS | _NODES.keys() | _SAME.keys() | {"all", "any", "isinstance", "eval", "exec", "compile", "open", "input", "print", "map", "filter", "zip", "range"}
"""Names of calls that are not the program's."""
_EQUAL = ("assertEqual", "assertEquals", "assertListEqual", "assertDictEqual", "assertSetEqual", "assertTupleEqual", "assertMultiLineEqual")
MOST = 2000
"""Asserts of a text."""
MOST_STEPS = 20_000
"""Statements that are read, those in loops and functions as often as they would run."""


class NotPlain(Exception):
    """The text does more than calling and comparing."""


class PlainAsserts:
    """The asserts of one text, in the order in which they would run.

    `sides[i]` is an expression with one call of the program, `expected[i]` what `klear_repro.asserts.checker` compares it with.
    """

    def __init__(self, style: str) -> None:
        self.setup: list[str] = []
        self.sides: list[ast.expr] = []
        self.expected: list[tuple[Any, ...]] = []
        self._pytest = style == "pytest"
        self._literals = Literals()
        self._functions: dict[str, ast.FunctionDef] = {}
        self._cases: list[ast.ClassDef] = []
        self._names: dict[str, Any] = {}
        self._nodes: dict[str, ast.expr] = {}
        self._lent: set[str] = set()
        """Names of lists and the like that a call was given: it may have changed them."""
        self._candidates: dict[str, str] = {}
        self._steps = 0
        self._objects: dict[str, ast.expr] = {}
        """How the next call names an object of the program: the first one makes it."""

    def read(self, tree: ast.Module) -> Self:
        """Raises NotPlain."""
        self._statements(tree.body)
        if self._pytest:
            for name, function in self._functions.items():
                if name.startswith("test"):
                    self._test(function, [])
            for case in self._cases:
                if case.name.startswith("Test") or case.bases:
                    self._methods(case)
        if not self.sides:
            raise NotPlain("no asserts")
        return self

    # --- statements ------------------------------------------------------------------------------

    def _statements(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, statement: ast.stmt) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise NotPlain("too many statements")
        match statement:
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                pass
            case ast.Import(names=names):
                self._import(statement, [one.name for one in names])
            case ast.ImportFrom(module=module, level=0):
                self._import(statement, [module or ""])
            case ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                self._assign(name, value)
            case ast.FunctionDef(name=name, decorator_list=decorators) if self._pytest or not decorators:
                self._functions[name] = statement
            case ast.For(target=target, iter=ast.List(elts=items) | ast.Tuple(elts=items), body=body, orelse=[]):
                for item in items:
                    self._bind(target, item)
                    self._statements(body)
            case ast.ClassDef(decorator_list=[], keywords=[]):
                self._cases.append(statement)
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")]), body=body, orelse=[]):
                if not self._pytest:
                    self._statements(body)
            case ast.Assert(test=test):
                self._condition(test)
            case ast.Expr(value=ast.Call() as call):
                self._call(call)
            case _:
                raise NotPlain(type(statement).__name__)

    def _assign(self, name: str, value: ast.expr) -> None:
        """A name of a value that is written out, or of an object of the program."""
        self._names.pop(name, None)
        self._objects.pop(name, None)
        match value:
            case ast.Call(func=ast.Name(id=made), args=args, keywords=[]) if made not in _NOT_PROGRAMS and made not in self._functions and made != "float":
                self._objects[name] = ast.NamedExpr(ast.Name(name), ast.Call(ast.Name(made), [self._argument(arg) for arg in args], []))
            case _:
                try:
                    self._names[name], self._nodes[name] = self._literals.value(value, {}), value
                except NotLiteral as error:
                    raise NotPlain(str(error)) from None
                self._lent.discard(name)

    def _import(self, statement: ast.stmt, modules: Sequence[str]) -> None:
        if not {"pytest", "unittest"} & set(modules):
            self.setup.append(ast.unparse(statement))

    def _call(self, call: ast.Call) -> None:
        match call:
            case ast.Call(func=ast.Name(id="print"), args=args) if all(isinstance(arg, ast.Constant) for arg in args):
                pass
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in self._functions:
                self._run(self._functions[name], args)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="unittest"), attr="main")):
                for case in self._cases:
                    self._methods(case)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=attr), args=args, keywords=keywords):
                self._unittest(attr, args, {word.arg: word.value for word in keywords if word.arg != "msg"})
            case _:
                raise NotPlain("call")

    def _methods(self, case: ast.ClassDef) -> None:
        for method in case.body:
            if isinstance(method, ast.FunctionDef) and method.name.startswith("test") and [one.arg for one in method.args.args][:1] == ["self"]:
                self._test(method, [ast.Name("self")])
            elif not (isinstance(method, ast.Expr) and isinstance(method.value, ast.Constant)):
                raise NotPlain("class")

    def _test(self, function: ast.FunctionDef, owner: list[ast.expr]) -> None:
        """The asserts of a test of pytest, for each of its cases."""
        tables = [_parametrized(decorator) for decorator in function.decorator_list]
        wanted = [one.arg for one in function.args.args[len(owner) :]]
        bound = [name for names, _ in tables for name in names]
        if sorted(wanted) != sorted(bound) or function.args.defaults or math.prod(len(rows) for _, rows in tables) > MOST:
            raise NotPlain("parameters")
        plain = copy.copy(function)
        plain.decorator_list = []
        plain.args = copy.copy(function.args)
        plain.args.args = function.args.args[: len(owner)]
        before = dict(self._names), dict(self._nodes)
        for case in itertools.product(*(rows for _, rows in tables)):
            for (names, _), row in zip(tables, case, strict=True):
                self._bind(ast.Name(names[0]) if len(names) == 1 else ast.Tuple([ast.Name(name) for name in names]), row)
            self._run(plain, owner)
        self._names, self._nodes = before

    def _bind(self, target: ast.expr, item: ast.expr) -> None:
        """Names of a loop or of a case."""
        match (target, item):
            case (ast.Name(id=name), _):
                self._assign(name, item)
            case (ast.Tuple(elts=targets), ast.Tuple(elts=items) | ast.List(elts=items)) if len(targets) == len(items):
                for one, other in zip(targets, items, strict=True):
                    self._bind(one, other)
            case _:
                raise NotPlain("names")

    def _run(self, function: ast.FunctionDef, args: Sequence[ast.expr]) -> None:
        """The asserts of a function; its parameters may be the program's functions."""
        names = [one.arg for one in function.args.args]
        other = [function.args.posonlyargs, function.args.kwonlyargs, function.args.vararg, function.args.kwarg, function.args.defaults]
        if len(names) != len(args) or any(other) or function.decorator_list or len(self.sides) > MOST:
            raise NotPlain("parameters")
        before = dict(self._names), dict(self._nodes), self._functions
        for name, given in zip(names, args, strict=True):
            if name != "self":
                self._candidate(name, given)
        self._functions = {name: one for name, one in self._functions.items() if one is not function}  # no recursion
        self._statements(function.body)
        self._names, self._nodes, self._functions = before

    def _candidate(self, name: str, given: ast.expr) -> None:
        match given:
            case ast.Name() if self._is_programs(given):
                pass
            case ast.Attribute(value=ast.Name() | ast.Call(func=ast.Name(), args=[], keywords=[])):
                pass
            case _:
                raise NotPlain("candidate")
        self._names.pop(name, None)
        text = ast.unparse(given)
        if self._candidates.setdefault(name, text) != text:
            raise NotPlain("two candidates")
        if text != name:
            self.setup.append(f"{name} = {text}")

    # --- conditions ------------------------------------------------------------------------------

    def _condition(self, test: ast.expr) -> None:
        match test:
            case ast.Constant(value=True | 1):  # HumanEval has these
                pass
            case ast.BoolOp(op=ast.And(), values=values):
                for value in values:
                    self._condition(value)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                self._compare(left, op, right)
            case ast.Call(func=ast.Name(id="isclose") | ast.Attribute(value=ast.Name(id="math"), attr="isclose"), args=[left, right], keywords=words):
                side, expected = self._either(left, right)
                given = self._numbers({word.arg: word.value for word in words}, rel_tol=1e-9, abs_tol=0.0)
                self._expect(side, "isclose", expected, *given)
            case ast.Call(func=ast.Name(id=same), args=[left, right], keywords=[]) if same in _SAME:
                self._same(_SAME[same], left, right)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self._expect(_call("bool", operand), "is", False)
            case _:
                self._expect(_call("bool", test), "is", True)

    def _compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> None:
        match (left, op, right):
            case (ast.Call(func=ast.Name(id="abs"), args=[ast.BinOp(left=one, op=ast.Sub(), right=other)], keywords=[]), ast.Lt() | ast.LtE(), _):
                side, expected = self._either(one, other)
                self._expect(side, "nearer" if isinstance(op, ast.Lt) else "within", _number(expected), _number(self._value(right)))
            case (_, ast.Eq(), ast.Call(func=ast.Name(id="approx") | ast.Attribute(value=ast.Name(id="pytest"), attr="approx"), args=[expected], keywords=words)):
                self._approx(left, expected, {word.arg: word.value for word in words})
            case (_, ast.Eq(), _):
                side, value = self._either(left, right)
                self._expect(side, "==", value)
            case (_, ast.NotEq(), _):
                side, value = self._either(left, right)
                self._expect(side, "!=", value)
            case (_, ast.Is() | ast.IsNot(), ast.Constant(value=True | False | None as value)):
                self._expect(left, "is" if isinstance(op, ast.Is) else "is not", value)
            case (_, ast.In(), _):
                self._expect(left, "in", self._value(right))
            case _ if type(op) in _ORDER:
                side, value = self._either(left, right)
                self._expect(side, _ORDER[type(op)][side is right], value)
            case _:
                raise NotPlain("comparison")

    def _approx(self, side: ast.expr, expected: ast.expr, words: dict[str | None, ast.expr]) -> None:
        relative, absolute = self._numbers(words, rel=-1.0, abs=-1.0)
        default = 1e-6 if relative < 0 and absolute < 0 else 0.0  # pytest: an absolute tolerance alone stands alone
        self._expect(side, "approx", self._value(expected), default if relative < 0 else relative, 1e-12 if absolute < 0 else absolute)

    def _same(self, kind: str, left: ast.expr, right: ast.expr) -> None:
        """LeetCode's lists and trees are compared by their values."""
        match right:
            case ast.Call(func=ast.Name(id=made), args=[values], keywords=[]) if made == kind:
                expected = self._value(values)
                if not isinstance(expected, list):
                    raise NotPlain("nodes")
                while kind == "tree_node" and expected and expected[-1] is None:
                    expected.pop()
                self._expect(_call(_NODES[kind], left), "==", expected)
            case ast.Constant(value=None):
                self._expect(_call(_NODES[kind], left), "==", [])
            case _:
                raise NotPlain("nodes")

    def _unittest(self, name: str, args: Sequence[ast.expr], words: dict[str | None, ast.expr]) -> None:
        one = args[0] if args else None
        other = args[1] if len(args) > 1 else None
        if one is None or (words and name != "assertAlmostEqual"):
            raise NotPlain(name)
        if name in ("assertTrue", "assertFalse"):
            self._condition(one if name == "assertTrue" else ast.UnaryOp(ast.Not(), one))
        elif name in ("assertIsNone", "assertIsNotNone"):
            self._expect(one, "is" if name == "assertIsNone" else "is not", None)
        elif other is None:
            raise NotPlain(name)
        elif name in _EQUAL:
            self._compare(one, ast.Eq(), other)
        elif name == "assertNotEqual":
            self._compare(one, ast.NotEq(), other)
        elif name == "assertIs":
            self._compare(one, ast.Is(), other)
        elif name == "assertIn":
            self._compare(one, ast.In(), other)
        elif name == "assertAlmostEqual" and len(args) == 2:
            side, expected = self._either(one, other)
            if set(words) == {"delta"}:
                self._expect(side, "within", _number(expected), _number(self._value(words["delta"])))
            else:
                (places,) = self._numbers(words, places=7)
                self._expect(side, "places", _number(expected), places)
        else:
            raise NotPlain(name)

    # --- expressions -----------------------------------------------------------------------------

    def _value(self, node: ast.expr) -> Any:
        try:
            return self._literals.value(node, self._names)
        except NotLiteral as error:
            raise NotPlain(str(error)) from None

    def _numbers(self, words: dict[str | None, ast.expr], **defaults: float) -> list[Any]:
        if not words.keys() <= defaults.keys():
            raise NotPlain("arguments")
        return [_number(self._value(words[name])) if name in words else default for name, default in defaults.items()]

    def _either(self, left: ast.expr, right: ast.expr) -> tuple[ast.expr, Any]:
        """(the program's side, the value of the other one)."""
        try:
            return left, self._literals.value(right, self._names)
        except NotLiteral:
            return right, self._value(left)

    def _expect(self, side: ast.expr, name: str, *expected: Any) -> None:
        if len(self.sides) >= MOST:
            raise NotPlain("too many asserts")
        self.sides.append(self._side(side))
        self.expected.append((name, *expected))

    def _side(self, node: ast.expr) -> ast.expr:
        """The expression with the names of values replaced by the values. Raises NotPlain unless it is one call of the program."""
        match node:
            case ast.Call(func=ast.Name(id=name), args=[inner, *rest], keywords=words) if name in _WRAPPERS or name in _NODES.values():
                return ast.Call(ast.Name(name), [self._side(inner), *map(self._argument, rest)], [ast.keyword(word.arg, self._argument(word.value)) for word in words])
            case ast.Subscript(value=inner, slice=index):
                return ast.Subscript(self._side(inner), self._argument(index))
            case ast.Call(func=func, args=args, keywords=words) if self._is_programs(func):
                if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and (made := self._objects.get(func.value.id)):
                    self._objects[func.value.id] = func.value
                    func = ast.Attribute(made, func.attr)
                return ast.Call(func, [self._argument(arg) for arg in args], [ast.keyword(word.arg, self._argument(word.value)) for word in words])
        raise NotPlain("side")

    def _is_programs(self, func: ast.expr) -> bool:
        match func:
            case ast.Name(id=name):
                return not name.startswith("__") and name not in _NOT_PROGRAMS and name not in self._functions and name not in self._names
            case ast.Attribute(value=ast.Call(func=ast.Name(id=name), args=[], keywords=[])):
                return name not in _NOT_PROGRAMS
            case ast.Attribute(value=ast.Name(id=name)):
                return name in ("solution", "Solution") or name in self._objects
        return False

    def _argument(self, node: ast.expr) -> ast.expr:
        match node:
            case ast.Call(func=ast.Name(id=name), args=[values], keywords=[]) if name in _NODES:
                return ast.Call(ast.Name(name), [self._argument(values)], [])
            case ast.Slice(lower=lower, upper=upper, step=step):
                return ast.Slice(*[one and self._argument(one) for one in (lower, upper, step)])
        value = self._value(node)
        used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and one.id in self._names}
        if used & self._lent:
            raise NotPlain("a value that an earlier call was given")
        if not isinstance(value, (int, float, complex, str, bytes, bool, type(None))):
            self._lent |= used
        return _Written(self._nodes).visit(copy.deepcopy(node)) if used else node


def _parametrized(decorator: ast.expr) -> tuple[list[str], list[ast.expr]]:
    """(the names, their values in each case) of a `pytest.mark.parametrize`."""
    match decorator:
        case ast.Call(func=ast.Attribute(attr="parametrize"), args=[names, ast.List(elts=rows) | ast.Tuple(elts=rows)], keywords=words) if all(word.arg == "ids" for word in words):
            pass
        case _:
            raise NotPlain("decorator")
    match names:
        case ast.Constant(value=str(text)):
            found = [name.strip() for name in text.split(",")]
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            found = [one.value for one in elements if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        case _:
            raise NotPlain("names")
    if not found or not all(name.isidentifier() for name in found):
        raise NotPlain("names")
    return found, [_param(row, len(found)) for row in rows]


def _param(row: ast.expr, count: int) -> ast.expr:
    """The values of a case that may be a `pytest.param`."""
    match row:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="pytest"), attr="param"), args=args, keywords=words) if len(args) == count and all(word.arg == "id" for word in words):
            return args[0] if count == 1 else ast.Tuple(args)
        case ast.Call(func=ast.Attribute(attr="param")):
            raise NotPlain("param")
    return row


class _Written(ast.NodeTransformer):
    """Writes out the names that stand for values."""

    def __init__(self, nodes: dict[str, ast.expr]) -> None:
        self._nodes = nodes

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._nodes.get(node.id, node)


def _call(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name), list(args), [])


def _number(value: Any) -> Any:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise NotPlain("a number is needed")
    return value
