"""Connectivity of recurrent networks: one walk back in time that carries the adjoints of all targets at once.

Every gate's adjoint is the state's, times a number for each unit. So one step back is a product with one matrix, the
step's Jacobian Σ diag(numbers of gate) × (weights of gate), made once and used for every target: a third of the
products that a GRU takes gate by gate, half of an LSTM's. cuDNN, which cannot differentiate a network in evaluation
mode, is not asked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.connectivity_blocks import Block, Blocks, targets_of
from engine.models.recurrent import Cell, GRUCell, LSTMCell, NestedLSTMCell, RecurrentStack, TanhCell

Kept = Mapping[str, Tensor]
"""States or gates of one layer by name, each (T, H)."""


@torch.no_grad()
def recurrent(
    stack: RecurrentStack, output: Tensor, vectors: Tensor, words: Sequence[int], basis: Tensor | None = None
) -> Blocks:
    """Gradients of each position's logit of its word, one input position after another from the last to the first.

    Args:
        stack: the network; its forward is run once.
        output: (words, H), from the top layer's outputs to logits.
        vectors: (T, I), what it reads.
        words: T ids, −1 for none.
        basis: (features, I), or None: gradients come multiplied by it. It is put into the first layer's weights, so
            that a narrow one makes the walk shorter.
    """
    targets = targets_of(words)[::-1]  # the last first: whoever has entered stays in front
    if not targets:
        return
    recording = stack.record(vectors[None])
    layers = []
    for index, cell in enumerate(stack.cells()):
        states, gates = (
            {name: kept[0] for name, kept in every[index].items()} for every in (recording.states, recording.gates)
        )
        down = cell.weight_ih if index or basis is None else cell.weight_ih @ basis.T
        layers.append(WALKS[type(cell)](cell, down, states, gates, len(targets)))
    times = tuple(time for time, _ in targets)
    starts = output[[word for _, word in targets]]  # (targets, H)
    active = 0
    for time in range(times[0], -1, -1):
        fresh = active < len(times) and times[active] == time
        active += fresh
        if fresh:
            layers[-1].adjoint[active - 1] += starts[active - 1]
        given = layers[-1].back(time, active)
        for layer in layers[-2::-1]:
            layer.adjoint[:active] += given
            given = layer.back(time, active)
        yield Block(times[:active], slice(time, time + 1), given[:, None])


def memory_of(stack: RecurrentStack, length: int, targets: int) -> int:
    """Bytes that `recurrent` takes, beside the weights: adjoints, what the forward kept, and the steps' matrices."""
    numbers = 0
    for cell in stack.cells():
        height, width, wide = len(cell.weight_hh), cell.width, cell.weight_ih.shape[1]
        nested = isinstance(cell, NestedLSTMCell)
        numbers += targets * ((10 if nested else 4) * width + 2 * wide)  # adjoints, and the products that replace them
        numbers += length * (9 if nested else 5) * height  # states, gates, coefficients
        numbers += (height + 3 * width) * (width + wide)  # weights side by side, and a step's
        numbers += 12 * width**2 if nested else 0
    return numbers * stack.cells()[0].weight_hh.element_size()


class Walk(ABC):
    """The way back through one layer.

    Attributes:
        width: H.
        ways: (gates, H, H + I), the weights with which each gate reads the output before and the input.
        adjoint: (targets, H), of the layer's output at the time that is next, one row for each target.
        coefficients: (T, ..., H), what each step's gates multiply adjoints by.
    """

    def __init__(self, cell: Cell, down: Tensor, states: Kept, gates: Kept, targets: int) -> None:
        self.width = cell.width
        self.ways = torch.cat([cell.weight_hh, down], 1).unflatten(0, (-1, self.width))
        self.adjoint = down.new_zeros(targets, self.width)
        self.coefficients = self.differentiate(cell, states, gates)

    @abstractmethod
    def differentiate(self, cell: Cell, states: Kept, gates: Kept) -> Tensor:
        """The coefficients of every step."""

    @abstractmethod
    def products(self, of: Tensor, adjoint: Tensor) -> Tensor:
        """One step back: adjoints (n, H) of the output to those (n, H + I) of the output before and the input.

        Args:
            of: the step's coefficients.
            adjoint: of the first n targets.
        """

    def back(self, time: int, active: int) -> Tensor:
        """One step back for the first `active` targets: gradients (active, I) with respect to what the layer reads."""
        adjoint = self.adjoint[:active]
        found = self.products(self.coefficients[time], adjoint)
        adjoint.copy_(found[:, : self.width])
        return found[:, self.width :]


class TanhWalk(Walk):
    """h' = tanh(W x + U h)."""

    def differentiate(self, cell: Cell, states: Kept, gates: Kept) -> Tensor:
        return 1 - states["hidden"] ** 2

    def products(self, of: Tensor, adjoint: Tensor) -> Tensor:
        return (adjoint * of) @ self.ways[0]


class GRUWalk(Walk):
    """n = tanh(W x + r ⊙ (U h + c)), h' = (1 − z) ⊙ n + z ⊙ h: everything comes from the adjoint of h'."""

    def differentiate(self, cell: Cell, states: Kept, gates: Kept) -> Tensor:
        self.matrix = torch.empty_like(self.ways[0])
        reset, update, new = gates["reset"], gates["update"], gates["candidate"]
        before, last = _shift(states["hidden"]), slice(2 * self.width, None)
        inside = F.linear(before, cell.weight_hh[last], None if cell.bias_hh is None else cell.bias_hh[last])
        to_new = (1 - update) * (1 - new**2)
        to_reset = to_new * inside * reset * (1 - reset)
        to_update = (before - new) * update * (1 - update)
        return torch.stack([to_reset, to_update, to_new * reset, to_new, update], 1)

    def products(self, of: Tensor, adjoint: Tensor) -> Tensor:
        matrix, own = self.matrix, slice(self.width)
        below = slice(self.width, None)
        to_reset, to_update, to_new, to_new_below, keep = of[..., None]
        torch.mul(self.ways[0], to_reset, out=matrix)
        matrix.addcmul_(self.ways[1], to_update)
        matrix[:, own].addcmul_(self.ways[2, :, own], to_new)
        matrix[:, below].addcmul_(self.ways[2, :, below], to_new_below)
        matrix.diagonal().add_(keep[:, 0])
        return adjoint @ matrix


class LSTMStep:
    """The step c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c') backward: adjoints of h' to those of what the gates read.

    Both adjoints go through one product: [that of c', that of the output gate] × [Jacobian of the other three gates;
    weights of the output gate], of which only the upper half differs from step to step.

    Attributes:
        memory: (targets, H), the adjoint of c at the time that is next.
    """

    def __init__(self, ways: Tensor, targets: int) -> None:
        self.ways, self.width = ways, ways.shape[1]  # (4, H, N)
        self.matrix = torch.cat([ways[3], ways[3]])  # (2H, N)
        self.sources = ways.new_empty(targets, 2 * self.width)
        self.memory = ways.new_zeros(targets, self.width)

    @staticmethod
    def differentiate(gates: Kept, memory: Tensor, prefix: str = "") -> Tensor:
        """The coefficients (T, 6, H), of the gates with that prefix and the memory after each step."""
        enter, forget, cell, output = (gates[prefix + name] for name in LSTMCell.gate_names)
        bent = torch.tanh(memory)
        to_enter, to_forget = cell * enter * (1 - enter), _shift(memory) * forget * (1 - forget)
        to_cell, to_output = enter * (1 - cell**2), bent * output * (1 - output)
        return torch.stack([to_enter, to_forget, to_cell, forget, output * (1 - bent**2), to_output], 1)

    def products(self, of: Tensor, adjoint: Tensor) -> Tensor:
        """Adjoints (n, H) of h' to (n, N)."""
        active, upper = len(adjoint), self.matrix[: self.width]
        sources, memory = self.sources[:active], self.memory[:active]
        of_memory, of_output = sources.split(self.width, 1)
        torch.mul(self.ways[0], of[0, :, None], out=upper)
        upper.addcmul_(self.ways[1], of[1, :, None])
        upper.addcmul_(self.ways[2], of[2, :, None])
        of_memory.copy_(torch.addcmul(memory, adjoint, of[4]))
        of_output.copy_(adjoint * of[5])
        torch.mul(of_memory, of[3], out=memory)
        return sources @ self.matrix


class LSTMWalk(Walk):
    """c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c')."""

    def differentiate(self, cell: Cell, states: Kept, gates: Kept) -> Tensor:
        self.step = LSTMStep(self.ways, len(self.adjoint))
        return LSTMStep.differentiate(gates, states["memory"])

    def products(self, of: Tensor, adjoint: Tensor) -> Tensor:
        return self.step.products(of, adjoint)


class NestedWalk(Walk):
    """An LSTM whose memory c' is the output of another, which reads i ⊙ g, and f ⊙ c as its output before."""

    def differentiate(self, cell: Cell, states: Kept, gates: Kept) -> Tensor:
        assert isinstance(cell, NestedLSTMCell)
        inner = torch.cat([cell.inner_weight_hh, cell.inner_weight_ih], 1).unflatten(0, (4, self.width))
        self.step = LSTMStep(inner, len(self.adjoint))
        self.memory = torch.zeros_like(self.adjoint)
        self.matrix = torch.cat([self.ways[0], self.ways[1], self.ways[3]])  # (3H, H + I)
        enter, forget, content, output = (gates[name] for name in LSTMCell.gate_names)
        bent, before = torch.tanh(states["memory"]), _shift(states["memory"])
        own = [
            content * enter * (1 - enter),
            enter,  # the outer content is linear
            before * forget * (1 - forget),
            forget,
            output * (1 - bent**2),
            bent * output * (1 - output),
        ]
        within = LSTMStep.differentiate(gates, states["inner memory"], "inner ")
        return torch.cat([torch.stack(own, 1), within], 1)  # (T, 12, H)

    def products(self, of: Tensor, adjoint: Tensor) -> Tensor:
        upper, memory = self.matrix[: self.width], self.memory[: len(adjoint)]
        inside = self.step.products(of[6:], torch.addcmul(memory, adjoint, of[4]))
        kept, read = inside.split(self.width, 1)
        torch.mul(kept, of[3], out=memory)
        torch.mul(self.ways[0], of[0, :, None], out=upper)
        upper.addcmul_(self.ways[2], of[1, :, None])
        return torch.cat([read, kept * of[2], adjoint * of[5]], 1) @ self.matrix


def _shift(states: Tensor) -> Tensor:
    """What was there before each step, from what was there after it: zeros first."""
    return torch.cat([torch.zeros_like(states[:1]), states[:-1]])


WALKS: dict[type[Cell], type[Walk]] = {
    TanhCell: TanhWalk,
    GRUCell: GRUWalk,
    LSTMCell: LSTMWalk,
    NestedLSTMCell: NestedWalk,
}
