"""How many rows a processor's matrix products need so that a row has the same bits whatever their number.

The kernels choose how to sum by the number of rows, of threads, and by the sizes of a layer; no library says how.  So it is tried
out, once for each shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

_WIDTHS = (4, 8, 16, 32, 64)
_WIDEST_FOR_ALL = 16
"""Rows that a whole batch is rounded up to; a layer that needs more has them to itself."""
_LARGEST_PROBED = 1 << 28
"""Weights of a matrix that is still tried out; a larger one would take gigabytes."""


@dataclass(frozen=True)
class RowRules:
    """How many rows matrix products need so that a row's result does not depend on their number."""

    narrowest: int
    """Every batch is a multiple of it."""
    layers: dict[tuple[int, int], tuple[int, bool]]
    """(inputs, outputs) of a layer that needs more → (rows, whether multiples of them round alike or each block is computed apart)."""

    @contextmanager
    def applied(self, model: Any) -> Iterator[None]:
        """The layers of `layers` compute with as many rows as they need; afterwards the model is as it was."""
        changed = []
        for module in model.modules() if self.layers else ():
            rule = self.layers.get(_shape(module)) if isinstance(module, torch.nn.Linear) else None
            if rule and "forward" not in vars(module):
                module.forward = partial(_in_blocks, module.forward, *rule)
                changed.append(module)
        try:
            yield
        finally:
            for module in changed:
                del module.forward


def _shape(layer: torch.nn.Linear) -> tuple[int, int]:
    return layer.in_features, layer.out_features


def _in_blocks(linear: Callable[[Tensor], Tensor], width: int, alike: bool, rows: Tensor) -> Tensor:
    """A layer on [rows, 1, inputs], with zero rows up to a multiple of `width`."""
    padded = pad(rows, (0, 0, 0, 0, 0, -len(rows) % width))
    whole = linear(padded) if alike else torch.cat([linear(block) for block in padded.split(width)])
    return whole[: len(rows)]


def row_rules(model: Any, slots: int) -> RowRules:
    """The rules of a model on this processor with its present number of threads.

    Found by trying out, on random numbers, the shapes of the model's linear layers.  On another device or in another type,
    where nothing is promised, there are none.
    """
    weight = model.get_input_embeddings().weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return RowRules(_WIDTHS[0], {})
    layers = (module for module in model.modules() if isinstance(module, torch.nn.Linear))
    return _rules(frozenset(_shape(layer) for layer in layers), slots, torch.get_num_threads())


@cache
def _rules(shapes: frozenset[tuple[int, int]], slots: int, threads: int) -> RowRules:
    narrowest, layers = _WIDTHS[0], {}
    for inner, outer in sorted(shapes):
        if inner * outer <= _LARGEST_PROBED:
            width, alike = _alike_from(inner, outer, max(slots, _WIDTHS[-1]))
            if width <= _WIDEST_FOR_ALL and alike:
                narrowest = max(narrowest, width)
            else:
                layers[inner, outer] = (width, alike)
    return RowRules(narrowest, layers)


@torch.inference_mode()
def _alike_from(inner: int, outer: int, most: int) -> tuple[int, bool]:
    """The smallest width whose multiples give every row the same bits as the largest batch does, and whether there is one."""
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(outer, inner, generator=random)
    rows = torch.randn(-(-most // _WIDTHS[-1]) * _WIDTHS[-1], 1, inner, generator=random)
    whole = torch.nn.functional.linear(rows, weight)

    def alike(width: int) -> bool:
        sizes = {min(width * times, len(rows)) for times in (1, 2, 3, 4, 5)}
        return all(torch.equal(torch.nn.functional.linear(rows[:size], weight), whole[:size]) for size in sizes)

    return next(((width, True) for width in _WIDTHS if alike(width)), (_WIDTHS[-1], False))
