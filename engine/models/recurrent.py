"""Recurrent cells whose gates can be looked at, and stacks of them over a whole sequence.

The weights are those of `torch.nn.RNN`, `GRU` and `LSTM`, which run the fused path; a cell computes one step from the
same weights with every gate by name, and a test proves that both give the same output.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CellKind = Literal["rnn", "gru", "lstm", "nlstm"]

State = tuple[Tensor, ...]
"""What a cell carries from step to step, each (B, H): the output first, then what only the cell itself reads."""

Gates = dict[str, Tensor]
"""What decided one step, each (B, H): gates in (0, 1), and the candidate that they let in."""


@dataclass(frozen=True, slots=True, eq=False)
class Cell(ABC):
    """One layer's step, as a function of weights that belong to a module.

    Attributes:
        weight_ih: (G·H, I), from the input; G blocks of H rows, in the order of torch.nn.
        weight_hh: (G·H, H), from the previous output.
        bias_ih: (G·H,).
        bias_hh: (G·H,), or None where one bias is all there is.
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor | None

    state_names: ClassVar[tuple[str, ...]] = ("hidden",)
    gate_names: ClassVar[tuple[str, ...]] = ()

    @property
    def width(self) -> int:
        return self.weight_hh.shape[1]

    def initial(self, batch: int, like: Tensor | None = None) -> State:
        """The state before the first step: zeros of the type and device of `like`, or of the weights."""
        zeros = (self.weight_hh if like is None else like).new_zeros(batch, self.width)
        return (zeros,) * len(self.state_names)

    def project_inputs(self, x: Tensor) -> Tensor:
        """The input's share of every gate: x (..., I) to (..., G·H), for all steps in one matrix product."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    @abstractmethod
    def advance(self, projected: Tensor, state: State) -> tuple[State, Gates]:
        """One step from projected inputs (B, G·H) and the state before it: the state after it, and its gates."""

    def step_with_gates(self, x: Tensor, state: State) -> tuple[Tensor, State, Gates]:
        """One step from an input x (B, I): output (B, H), state, gates by name."""
        state, gates = self.advance(self.project_inputs(x), state)
        return state[0], state, gates

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step from an input x (B, I): output (B, H), state."""
        output, state, _ = self.step_with_gates(x, state)
        return output, state

    def _recurrent(self, hidden: Tensor) -> Tensor:
        """The previous output's share of every gate: (B, H) to (B, G·H)."""
        return F.linear(hidden, self.weight_hh, self.bias_hh)


class TanhCell(Cell):
    """The simple recurrent network: h' = tanh(W x + U h + b), with no gates. Source: Elman 1990."""

    __slots__ = ()

    def advance(self, projected: Tensor, state: State) -> tuple[State, Gates]:
        return (torch.tanh(projected + self._recurrent(state[0])),), {}


class GRUCell(Cell):
    """The gated recurrent unit. Source: Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder".

    As in torch.nn.GRU: the reset gate multiplies the recurrent product, candidate = tanh(W x + b + reset ⊙ (U h + c)),
    and h' = (1 − update) ⊙ candidate + update ⊙ h. The paper and TensorFlow 1 put the reset gate before the product,
    U (reset ⊙ h); TensorFlow 2's `reset_after=True` is this one. Weights of one form do not fit the other.
    """

    __slots__ = ()
    gate_names = ("reset", "update", "candidate")

    def advance(self, projected: Tensor, state: State) -> tuple[State, Gates]:
        (hidden,) = state
        recurrent = self._recurrent(hidden)
        both = 2 * self.width
        reset, update = torch.sigmoid(projected[:, :both] + recurrent[:, :both]).chunk(2, dim=1)
        candidate = torch.tanh(projected[:, both:] + reset * recurrent[:, both:])
        hidden = candidate + update * (hidden - candidate)
        return (hidden,), {"reset": reset, "update": update, "candidate": candidate}


class LSTMCell(Cell):
    """Long short-term memory: memory' = forget ⊙ memory + input ⊙ cell, h' = output ⊙ tanh(memory').

    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; gates in the order of
    torch.nn.LSTM: input, forget, cell, output ("cell" is the candidate, tanh, in (−1, 1)).
    """

    __slots__ = ()
    state_names = ("hidden", "memory")
    gate_names = ("input", "forget", "cell", "output")

    def advance(self, projected: Tensor, state: State) -> tuple[State, Gates]:
        hidden, memory = state
        enter, forget, cell, output = _four(projected + self._recurrent(hidden))
        cell = torch.tanh(cell)
        memory = forget * memory + enter * cell
        return (output * torch.tanh(memory), memory), {"input": enter, "forget": forget, "cell": cell, "output": output}


@dataclass(frozen=True, slots=True, eq=False)
class NestedLSTMCell(Cell):
    """The nested LSTM of depth 2: an LSTM whose memory is computed by another LSTM.

    Source: Moniz and Krueger 2017, "Nested LSTMs", section 3. The sum of the LSTM's memory becomes a step of an inner
    LSTM, which reads x̃ = input ⊙ cell as its input and h̃ = forget ⊙ memory as its previous output; its own output is
    the new memory. As in the authors' experiments, "cell" of the outer level is linear (so it is not bounded), that of
    the inner one a tanh.

    Attributes:
        inner_weight_ih: (4·H, H), from x̃.
        inner_weight_hh: (4·H, H), from h̃.
        inner_bias: (4·H,).
    """

    inner_weight_ih: Tensor
    inner_weight_hh: Tensor
    inner_bias: Tensor

    state_names: ClassVar[tuple[str, ...]] = ("hidden", "memory", "inner memory")
    gate_names: ClassVar[tuple[str, ...]] = (
        *LSTMCell.gate_names,
        *(f"inner {name}" for name in LSTMCell.gate_names),
    )

    def advance(self, projected: Tensor, state: State) -> tuple[State, Gates]:
        hidden, memory, inner = state
        enter, forget, cell, output = _four(projected + self._recurrent(hidden))
        read, kept = enter * cell, forget * memory
        within = F.linear(read, self.inner_weight_ih, self.inner_bias) + F.linear(kept, self.inner_weight_hh)
        inner_enter, inner_forget, inner_cell, inner_output = _four(within)
        inner_cell = torch.tanh(inner_cell)
        inner = inner_forget * inner + inner_enter * inner_cell
        memory = inner_output * torch.tanh(inner)
        gates = (enter, forget, cell, output, inner_enter, inner_forget, inner_cell, inner_output)
        named = dict(zip(self.gate_names, gates, strict=True))
        return (output * torch.tanh(memory), memory, inner), named


def _four(mixed: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Input, forget and output gate of (B, 4·H) in (0, 1), and the cell's candidate as it is, in torch.nn's order."""
    enter, forget, cell, output = mixed.chunk(4, dim=1)
    return torch.sigmoid(enter), torch.sigmoid(forget), cell, torch.sigmoid(output)


CELLS: dict[CellKind, Callable[..., Cell]] = {"rnn": TanhCell, "gru": GRUCell, "lstm": LSTMCell}
FUSED: dict[CellKind, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
WEIGHTS = ("weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l")
NESTED_WEIGHTS = ("weight_ih_l", "weight_hh_l", "bias_ih_l", "inner_weight_ih_l", "inner_weight_hh_l", "inner_bias_l")


class NestedWeights(nn.Module):
    """The weights of a stack of nested LSTMs, named as torch.nn names those of others. There is no fused path."""

    def __init__(self, input_width: int, width: int, layers: int) -> None:
        super().__init__()
        for layer in range(layers):
            widths = {"weight_ih_l": input_width if layer == 0 else width}
            for name in NESTED_WEIGHTS:
                shape = (4 * width,) if "bias" in name else (4 * width, widths.get(name, width))
                self.register_parameter(f"{name}{layer}", nn.Parameter(torch.empty(shape)))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(width), 1 / math.sqrt(width))  # as torch.nn does


@dataclass(frozen=True, slots=True)
class Recording:
    """A stack's run over a sequence with everything that its cells went through; step t has read x[:, t].

    Attributes:
        output: (B, T, H), of the last layer.
        states: per layer, by name ("hidden", "memory", "inner memory"): (B, T, H) after each step.
        gates: per layer, by name: (B, T, H). Gates lie in (0, 1), "candidate" and "cell" in (−1, 1), but for the outer
            "cell" of a nested LSTM, which is linear. A tanh network has none.
        final: per layer, the state after the last step.
    """

    output: Tensor
    states: tuple[Mapping[str, Tensor], ...]
    gates: tuple[Mapping[str, Tensor], ...]
    final: tuple[State, ...]


class RecurrentStack(nn.Module):
    """Layers of one kind of cell over a whole sequence: (B, T, I) to (B, T, H).

    `network` holds the weights, under the names and shapes of torch.nn (`weight_ih_l0`, ...): for the kinds that torch
    has it is that very module, so that state dicts interchange.
    """

    network: nn.Module

    def __init__(self, kind: CellKind, input_width: int, width: int, layers: int = 1) -> None:
        super().__init__()
        self.kind, self.width, self.layers = kind, width, layers
        if kind == "nlstm":
            self.network = NestedWeights(input_width, width, layers)
        else:
            self.network = FUSED[kind](input_width, width, layers, batch_first=True)
        self.reset_forget_gates()

    @torch.no_grad()
    def reset_forget_gates(self) -> None:
        """Forget gates start open, with a bias of 1 (Gers et al. 2000; TensorFlow's default)."""
        if self.kind in ("lstm", "nlstm"):
            for name, parameter in self.network.named_parameters():
                if "bias" in name:  # torch.nn.LSTM has two, which are added
                    parameter[self.width : 2 * self.width] = 0 if name.startswith("bias_hh") else 1

    def cells(self) -> tuple[Cell, ...]:
        """The step of each layer, on this stack's weights."""
        return tuple(self._cell(layer) for layer in range(self.layers))

    def _cell(self, layer: int) -> Cell:
        if self.kind == "nlstm":
            ih, hh, bias, *inner = (self.network.get_parameter(f"{name}{layer}") for name in NESTED_WEIGHTS)
            return NestedLSTMCell(ih, hh, bias, None, *inner)
        return CELLS[self.kind](*(self.network.get_parameter(f"{name}{layer}") for name in WEIGHTS))

    def initial(self, batch: int, like: Tensor | None = None) -> tuple[State, ...]:
        """The state of each layer before the first step."""
        return tuple(cell.initial(batch, like) for cell in self.cells())

    def forward(self, x: Tensor) -> Tensor:
        """X (B, T, I) to the outputs of the last layer (B, T, H), on the fused path where there is one that can.

        cuDNN cannot differentiate a network in evaluation mode; the explicit path then runs, since switching cuDNN off
        or the mode over would reach other threads.
        """
        return self.read(x)[0]

    def read(self, x: Tensor, states: tuple[State, ...] | None = None) -> tuple[Tensor, tuple[State, ...]]:
        """`forward` after states of each layer (None for `initial`), and the states of each layer after it."""
        stuck = x.is_cuda and not self.training and torch.is_grad_enabled()
        if isinstance(self.network, nn.RNNBase) and not stuck:
            start = None
            if states is not None:
                start = tuple(torch.stack(parts) for parts in zip(*states, strict=True))  # each (layer, B, H)
            output, end = self.network(x, start[0] if start is not None and len(start) == 1 else start)
            ends = end if isinstance(end, tuple) else (end,)
            return output, tuple(zip(*(part.unbind(0) for part in ends), strict=True))
        final = []
        for cell, state in zip(self.cells(), states or self.initial(len(x), x), strict=True):
            outputs = []
            for projected in cell.project_inputs(x).unbind(1):
                state, _ = cell.advance(projected, state)
                outputs.append(state[0])
            x = torch.stack(outputs, dim=1)
            final.append(state)
        return x, tuple(final)

    def step(self, x: Tensor, states: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        """One step of every layer: x (B, I) to the output of the last layer (B, H) and the new states."""
        after = []
        for cell, state in zip(self.cells(), states, strict=True):
            x, state = cell.step(x, state)
            after.append(state)
        return x, tuple(after)

    def record(self, x: Tensor, states: tuple[State, ...] | None = None) -> Recording:
        """The same as `forward` on the explicit path, with every state and gate.

        Args:
            x: (B, T, I), T at least 1.
            states: of each layer before the first step; None for `initial`.
        """
        assert x.shape[1] > 0
        kept, gated, final = [], [], []
        for cell, state in zip(self.cells(), states or self.initial(len(x), x), strict=True):
            passed, decided = [], []
            for projected in cell.project_inputs(x).unbind(1):
                state, gates = cell.advance(projected, state)
                passed.append(state)
                decided.append(gates)
            after = [torch.stack(column, dim=1) for column in zip(*passed, strict=True)]  # each (B, T, H)
            kept.append(dict(zip(cell.state_names, after, strict=True)))
            gated.append({name: torch.stack([gates[name] for gates in decided], dim=1) for name in cell.gate_names})
            final.append(state)
            x = after[0]
        return Recording(x, tuple(kept), tuple(gated), tuple(final))
