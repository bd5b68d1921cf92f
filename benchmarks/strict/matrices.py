"""Matrices and vectors: the same entries in the same places."""

from __future__ import annotations

from fractions import Fraction

from benchmarks.strict.equality import equal
from benchmarks.strict.expressions import Tree, parse
from benchmarks.strict.gold import Gold
from benchmarks.strict.parts import enclosed, list_parts, members, trimmed, without_words
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
        given = trimmed(sides[-1])
    if enclosed(given) in ("()", "<>") and not any(token.kind == "matrix" for token in given):
        cells = [[parse(part)] for part in list_parts(given[1:-1])]
        found = (cells if all(len(row) == 1 for row in wanted[0]) else [[cell[0] for cell in cells]], False)
    else:
        found = _matrix(given)
    return (
        wanted[1] == found[1]
        and len(wanted[0]) == len(found[0])
        and all(len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True)) for a, b in zip(wanted[0], found[0], strict=True))
    )


def _matrix(tokens: Tokens) -> tuple[list[list[Tree]], bool]:
    """The entries of a matrix with the factors around it multiplied in, and whether it is a determinant."""
    tokens = trimmed(tokens)
    while enclosed(tokens) in ("()", "[]"):
        tokens = trimmed(tokens[1:-1])
    for place in range(len(tokens) - 2):
        if tokens[place].kind == "open" and tokens[place + 1].kind == "matrix" and tokens[place + 2].kind == "close":
            tokens = (*tokens[:place], tokens[place + 1], *tokens[place + 3 :])
            break
    places = [place for place, token in enumerate(tokens) if token.kind == "matrix"]
    if len(places) != 1:
        raise Unreadable("not one matrix")
    place = places[0]
    matrix = tokens[place]
    before, after = tokens[:place], tokens[place + 1 :]
    if len(after) == 1 and after[0].kind == "sup" and [token.text for token in after[0].args[0]] in (["T"], ["top"]):
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
