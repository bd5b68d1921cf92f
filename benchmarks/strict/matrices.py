"""Matrices and vectors: the same entries in the same places."""

from __future__ import annotations

from fractions import Fraction

from benchmarks.strict.equality import equal
from benchmarks.strict.expressions import Tree, parse
from benchmarks.strict.gold import Gold
from benchmarks.strict.parts import enclosed, list_parts, may_be_name, members, trimmed, without_words
from benchmarks.strict.tokens import Token, Tokens, Unreadable


def column(matrix: Token) -> list[Tokens]:
    """The entries of a matrix of one column or one row.

    Raises:
        Unreadable: the matrix has several rows and several columns.
    """
    if all(len(row) == 1 for row in matrix.rows):
        return [row[0] for row in matrix.rows]
    if len(matrix.rows) == 1:
        return list(matrix.rows[0])
    raise Unreadable("no vector")


def same_matrix(given: Tokens, gold: Gold) -> bool:
    """Is an answer the matrix of the gold?  A tuple is read as the vector that the gold is.

    Raises:
        Unreadable: one of them is no matrix.
        Unbounded: an entry cannot be computed in bounded time.
    """
    wanted = _matrix(gold.tokens)
    given = without_words(given)
    sides, relations = members(given)
    if relations and all(relation == "=" for relation in relations):
        if not may_be_name(sides[0]):
            raise Unreadable("an equation")  # A^T = …
        given = trimmed(sides[-1])
    found = _written_otherwise(given, all(len(row) == 1 for row in wanted[0])) or _matrix(given)
    return (
        wanted[1] == found[1]
        and len(wanted[0]) == len(found[0])
        and all(len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True)) for a, b in zip(wanted[0], found[0], strict=True))
    )


def _written_otherwise(given: Tokens, is_column: bool) -> tuple[list[list[Tree]], bool] | None:
    r"""A tuple, `(1, 2)^T`, `[[1, 2], [3, 4]]`, `\binom{1}{2}` or `\mathbf{i} + 2\mathbf{j}` as a matrix; None for anything else."""
    if any(token.kind == "matrix" for token in given):
        return None
    if (parts := unit_vector_parts(given)) is not None:
        cells = [parse(part) for part in parts]
    elif len(given) == 1 and given[0].kind == "binom":
        return [[parse(trimmed(part))] for part in given[0].args], False
    elif given and given[-1].kind == "sup" and is_transposed(given[-1]) and enclosed(given[:-1]) in ("()", "[]"):
        return [[parse(part)] for part in list_parts(given[1:-2])], False
    elif enclosed(given) == "[]" and all(enclosed(row) == "[]" for row in list_parts(given[1:-1])):
        return [[parse(cell) for cell in list_parts(row[1:-1])] for row in list_parts(given[1:-1])], False
    elif enclosed(given) in ("()", "<>"):
        cells = [parse(part) for part in list_parts(given[1:-1])]
    else:
        return None
    return ([[cell] for cell in cells] if is_column else [cells]), False


def unit_vector_parts(tokens: Tokens) -> list[Tokens] | None:
    r"""The factors of `\mathbf{i}`, `\mathbf{j}` and `\mathbf{k}` (or with hats or arrows) in a sum; None if it has fewer than two."""
    letters = {letter for token in tokens if (letter := _unit_vector(token))}
    if len(letters) < 2:
        return None
    parts = [_component(tokens, letter) for letter in ("ijk" if "k" in letters else "ij")]
    values = [parse(part) for part in parts]
    total = values[0]
    for value in values[1:]:
        total = ("add", total, value)
    sizes = (parse(_component(tokens, "ijk", size)) for size in (0, 1, 2, -3))
    linear = all(equal(at_size, ("mul", ("num", Fraction(size)), total)) for size, at_size in zip((0, 1, 2, -3), sizes, strict=True))
    return parts if linear else None


def _component(tokens: Tokens, letters: str, size: int = 1) -> Tokens:
    """The sum with a number for these unit vectors and 0 for the others."""
    found: list[Token] = []
    for token in tokens:
        other = _unit_vector(token)
        if other and found and found[-1].kind != "op":
            found.append(Token("op", "*"))
        found.append(Token("num", "integer", value=Fraction(size * (other in letters))) if other else token)
    return tuple(found)


def _unit_vector(token: Token) -> str:
    while token.kind in ("group", "accent") and len(token.args[0]) == 1:
        token = token.args[0][0]._replace(spaced=True)
        if token.kind in ("run", "name", "word"):
            return token.text if token.text in ("i", "j", "k") else ""
    return ""


def is_transposed(token: Token) -> bool:
    r"""Is it the `^T` behind a matrix?"""
    return token.kind == "sup" and [inside.text for inside in token.args[0]] in (["T"], ["top"])


def _matrix(tokens: Tokens) -> tuple[list[list[Tree]], bool]:
    """The entries of a matrix with the factors around it multiplied in, and whether it is a determinant."""
    tokens = trimmed(tokens)
    while enclosed(tokens) in ("()", "[]"):
        tokens = trimmed(tokens[1:-1])
    for place in range(len(tokens) - 2):
        if tokens[place].kind == "open" and tokens[place + 1].kind == "matrix" and tokens[place + 2].kind == "close":
            matrix = tokens[place + 1]._replace(text="vmatrix") if tokens[place].text == "|" else tokens[place + 1]
            tokens = (*tokens[:place], matrix, *tokens[place + 3 :])
            break
    places = [place for place, token in enumerate(tokens) if token.kind == "matrix"]
    if len(places) != 1:
        raise Unreadable("not one matrix")
    place = places[0]
    matrix = tokens[place]
    before, after = tokens[:place], tokens[place + 1 :]
    if len(after) == 1 and after[0].kind == "sup" and is_transposed(after[0]):
        matrix, after = matrix._replace(rows=tuple(zip(*matrix.rows, strict=True))), ()
    if after and not (after[0].kind == "op" and after[0].text in "*/"):
        raise Unreadable("something behind a matrix")
    factor: Tree | None = None
    while before and before[-1] == Token("op", "*"):
        before = before[:-1]
    if before == (Token("op", "-"),):
        factor = ("num", Fraction(-1))
    elif before:
        factor = parse(before)
    rows = []
    for row in matrix.rows:
        cells = [parse(trimmed(cell)) for cell in row]
        rows.append([_after(cell if factor is None else ("mul", factor, cell), after) for cell in cells])
    return rows, matrix.text in ("vmatrix", "Vmatrix")


def _after(cell: Tree, after: Tokens) -> Tree:
    """An entry with the factor or divisor behind the matrix."""
    if not after:
        return cell
    return ("mul" if after[0].text == "*" else "div", cell, parse(after[1:]))
