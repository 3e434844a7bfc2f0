"""Loss and gradient of one step: kernel by kernel, or recorded once on the GPU and replayed."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.autocomplete import Autocomplete
from engine.training.autocomplete.text import OUTSIDE

Gradient = Callable[[Tensor, Tensor], Tensor]
WARM_UP = 3  # steps that let libraries choose their kernels before they are recorded
CPU_ROWS = 32  # sequences at a time on a CPU: their logits over 4,096 words are 100 MB


def loss_of(model: Autocomplete, ids: Tensor, targets: Tensor, *, bfloat16: bool = False) -> Tensor:
    """Sum of the cross-entropy in nats over the characters that have a target.

    Args:
        model: reads the characters.
        ids: int64 (B, T).
        targets: int64 (B, T), -1 where there is none.
        bfloat16: run matrix products in bfloat16; the cross-entropy stays float32.

    Returns:
        float32 scalar.
    """
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=bfloat16):
        hidden, targets = model.hidden_from_embeddings(model.embedding(ids)).flatten(0, 1), targets.flatten()
        if not ids.is_cuda:  # words are computed only where one is asked for; a recording needs fixed shapes
            keep = targets != OUTSIDE
            hidden, targets = hidden[keep], targets[keep]
        logits = model.logits(hidden)
    return F.cross_entropy(logits.float(), targets, ignore_index=OUTSIDE, reduction="sum")


def gradient_of(model: Autocomplete, *, bfloat16: bool, graph: bool) -> Gradient:
    """A function that leaves the gradient of a batch's mean loss in `.grad` of the parameters and returns the loss.

    The mean is over the characters whose word is in the vocabulary. On a CPU the batch is read in parts.

    Args:
        model: in training mode, on its device.
        bfloat16: see `loss_of`.
        graph: record and replay; on a GPU only.
    """
    on_gpu = next(model.parameters()).is_cuda
    graph = graph and on_gpu

    def run(ids: Tensor, targets: Tensor) -> Tensor:
        model.zero_grad(set_to_none=True)
        count, rows = (targets != OUTSIDE).sum().clamp(min=1), len(ids) if on_gpu else CPU_ROWS
        total = torch.zeros((), device=ids.device)
        for some, wanted in zip(ids.split(rows), targets.split(rows), strict=True):
            loss = loss_of(model, some, wanted, bfloat16=bfloat16) / count
            loss.backward()
            total += loss.detach()
        return total

    return _Recorded(model, run) if graph else run


class _Recorded:
    """The kernels of the first batch's step, replayed for all that follow, which must have its shape.

    A loop over the characters launches thousands of small kernels, one by one slower than they run. Source: the
    recipe for whole-network capture in PyTorch's notes on CUDA graphs.
    """

    def __init__(self, model: nn.Module, run: Gradient) -> None:
        self._model, self._run = model, run
        self._graph: torch.cuda.CUDAGraph | None = None
        self._ids = self._targets = self._loss = torch.empty(0)

    def __call__(self, ids: Tensor, targets: Tensor) -> Tensor:
        if self._graph is None:
            self._record(ids, targets)
        assert self._graph is not None
        self._ids.copy_(ids)
        self._targets.copy_(targets)
        self._graph.replay()  # writes the same gradient tensors anew
        return self._loss.clone()

    def _record(self, ids: Tensor, targets: Tensor) -> None:
        self._ids, self._targets = ids.clone(), targets.clone()
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                self._run(self._ids, self._targets)
        torch.cuda.current_stream().wait_stream(beside)
        self._model.zero_grad(set_to_none=True)  # the recording itself allocates the gradients that stay
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._loss = self._run(self._ids, self._targets)
        self._graph = graph
