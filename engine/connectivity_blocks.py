"""Pieces of a connectivity matrix on their way: gradients of some targets with respect to some positions, and the one
number that each of them becomes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from engine.errors import ConfigError
from engine.types import MASKED

Mode = Literal["embedding", "one-hot", "squared"]
MODES: tuple[Mode, ...] = ("embedding", "one-hot", "squared")
TINY, HUGE = 1e-16, 1e18
"""Between these norms no square under- or overflows that counts: 1e-16 is 1e3 times the root of the least float32 that
has all its digits."""
MANY, PART = 2**15, 2**12
"""Symbols of a table that is gone through by so many at a time: a vocabulary of 150,000 has gigabytes."""


@dataclass(frozen=True, slots=True)
class Block:
    """Gradients of some targets with respect to neighbouring input positions.

    Attributes:
        rows: the output times of the targets.
        columns: the input times.
        gradients: (rows, columns, d), or (rows, columns, features) where a basis was asked for: each gradient times
            the basis's transpose.
    """

    rows: tuple[int, ...]
    columns: slice
    gradients: Tensor

    def times(self, basis: Tensor | None) -> Block:
        """The same gradients multiplied by a basis."""
        return self if basis is None else Block(self.rows, self.columns, self.gradients @ basis.T)


Blocks = Iterator[Block]
Report = Callable[[float], None]
Reduction = Callable[[Block], Tensor]
"""A block to one number for each target and position: float64 (rows, columns) on the CPU."""


def basis_of(table: Tensor, mode: Mode) -> Tensor | None:
    """What gradients are multiplied by before their norm is taken: B with ‖B g‖ = the mode's norm, or its root.

    Args:
        table: E (symbols, d), the vector of every symbol as the model reads it.
        mode: see `Connectivity`.

    Returns:
        None for "embedding"; E itself (symbols, d) where there are fewer symbols than dimensions, else R (d, d) of
        E = QR, for which ‖R g‖ = ‖E g‖.
    """
    if mode not in MODES:
        raise ConfigError(f"There is no mode {mode!r} of connectivity. Choose one of: {', '.join(MODES)}.")
    if mode == "embedding":
        return None
    if len(table) <= table.shape[1]:
        return table
    return torch.linalg.qr(table.cpu().double(), mode="r").R.to(table)


_factors: WeakKeyDictionary[nn.Module, tuple[tuple[int, int], Tensor]] = WeakKeyDictionary()
"""Of large tables R, which takes seconds, with what tells whether the table is still as it was."""


def basis_for(embedding: nn.Module, mode: Mode) -> Tensor | None:
    """`basis_of` the table of all symbols' vectors, without the table where that is large.

    Args:
        embedding: ids (B, T) to vectors (B, T, d).
        mode: see `Connectivity`.
    """
    weight = weight_of(embedding)
    if mode not in MODES or mode == "embedding" or len(weight) <= MANY:
        return basis_of(table_of(embedding), mode)
    # tensors made in inference mode count no versions; nobody writes into them either
    state = weight.data_ptr(), 0 if weight.is_inference() else weight._version
    known = _factors.get(embedding)
    if known is None or known[0] != state:
        known = _factors[embedding] = state, _factor(embedding, len(weight))
    return known[1]


@torch.no_grad()
def _factor(embedding: nn.Module, symbols: int) -> Tensor:
    """R (d, d) with RᵀR = EᵀE, so that ‖R g‖ = ‖E g‖: by the eigenvectors of EᵀE in float64."""
    device = weight_of(embedding).device
    exact = torch.device("cpu") if device.type == "mps" else device  # which has no float64
    square: Tensor | None = None
    for first in range(0, symbols, PART):
        some = embedding(torch.arange(first, min(first + PART, symbols), device=device)[None])[0]
        part = some.to(exact).double()
        square = part.T @ part if square is None else square.addmm_(part.T, part)
    assert square is not None
    values, vectors = torch.linalg.eigh(square)
    return (values.clamp_min(0).sqrt()[:, None] * vectors.T).to(some)


def weight_of(embedding: nn.Module) -> Tensor:
    """The table that a module looks ids up in, (symbols, d), before the module scales it."""
    found: Tensor = next(part for part in embedding.modules() if isinstance(part, nn.Embedding)).weight
    return found


@torch.no_grad()
def table_of(embedding: nn.Module) -> Tensor:
    """The vector of every symbol as the model reads it, (symbols, d)."""
    weight = weight_of(embedding)
    table: Tensor = embedding(torch.arange(len(weight), device=weight.device)[None])[0]
    return table


def norm(block: Block) -> Tensor:
    """‖g‖₂ of every gradient, float64 (rows, columns) on the CPU, without underflow.

    Squares of float32 numbers below 1e-23 are 0. So gradients of a norm near that, or near where squares overflow, are
    multiplied by a power of two first, which rounds nothing.
    """
    gradients = block.gradients
    found = torch.linalg.vector_norm(gradients, dim=-1).cpu().double()  # float64 is not on every device
    if gradients.dtype == torch.float64:
        return found
    unsure = (found < TINY) | (found > HUGE)
    if bool(unsure.any()):
        few = gradients[unsure.to(gradients.device)]  # (n, d)
        exponent = torch.frexp(few.abs().amax(-1).cpu()).exponent.clamp(-126, 126)
        scaled = few * torch.ldexp(torch.ones(len(few)), -exponent)[:, None].to(few)
        found[unsure] = torch.ldexp(torch.linalg.vector_norm(scaled, dim=-1).cpu().double(), exponent)
    return found


def along(vectors: Tensor) -> Reduction:
    """The reduction g·v, signed, with the vector of each position from vectors (T, d)."""

    def product(block: Block) -> Tensor:
        return torch.einsum("rcd,cd->rc", block.gradients, vectors[block.columns]).cpu().double()

    return product


def pairs_of(block: Block) -> int:
    """How many of a block's gradients can be other than 0: those of positions up to the target's own."""
    columns = block.columns
    return sum(max(0, min(columns.stop, time + 1) - columns.start) for time in block.rows)


def collect(blocks: Blocks, words: Sequence[int], reduce: Reduction, report: Report | None = None) -> Tensor:
    """All blocks as one matrix, float64 (T, T) on the CPU; 0 after a target's own position and where no target is.

    Args:
        blocks: of a causal model.
        words: T ids, −1 for none.
        reduce: gradient to number.
        report: called after every block with the share that is done, in (0, 1]; what it raises ends the work.
    """
    found = torch.zeros(len(words), len(words), dtype=torch.float64)
    whole, done = sum(time + 1 for time, _ in targets_of(words)), 0
    for block in blocks:
        found[list(block.rows), block.columns] = reduce(block)
        done += pairs_of(block)
        if report is not None:
            report(done / whole)
    return found.tril_()


def targets_of(words: Sequence[int]) -> list[tuple[int, int]]:
    """Output time and word of every position that is not masked, in order of time."""
    return [(time, word) for time, word in enumerate(words) if word != MASKED]


def chunks_of(targets: Sequence[tuple[int, int]], size: int) -> Iterator[list[tuple[int, int]]]:
    """Neighbouring targets, `size` at a time, so that a chunk's last time is not far behind its first."""
    for first in range(0, len(targets), size):
        yield list(targets[first : first + size])


def fitting(budget: int, each: int, fixed: int, most: int) -> int:
    """How many of `each` bytes fit into a budget beside `fixed`: 1 to `most`."""
    return max(1, min(most, (budget - fixed) // max(1, each)))
