"""Connectivity of any model that reads vectors, by automatic differentiation: the reference, and what is quicker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from engine.connectivity_blocks import Block, Blocks, chunks_of, fitting, targets_of
from engine.gradients import Differentiable

CHUNK, ROWS = 8, 1024
"""Targets at a time on a CPU, and positions of all of them together: more of them leave its cache."""
MOST = 128
"""Targets at a time on a GPU, which a few do not keep busy."""
SHARED, SHORT = 16, 64
"""Targets that share a forward in texts longer than so many positions; in shorter ones each chunk has its own, which
ends where the chunk does.
"""


class SequenceModel(Protocol):
    """A causal model that predicts at every position: `embedding` gives vectors (B, T, d) of ids (B, T)."""

    @property
    def embedding(self) -> nn.Module: ...

    def forward_from_embeddings(self, vectors: Tensor) -> Tensor:
        """Vectors (B, T, d) to logits (B, T, words)."""
        ...


class Headed(SequenceModel, Protocol):
    """One that gives what its output matrix reads, too: logits of a few positions are then all that is made."""

    def hidden_from_embeddings(self, vectors: Tensor) -> Tensor: ...

    def logits(self, hidden: Tensor) -> Tensor: ...


class Choosy(SequenceModel, Protocol):
    """One that gives the logits of a few positions by itself."""

    def logits_at(self, vectors: Tensor, times: Sequence[int]) -> Tensor:
        """Vectors (B, T, d) to logits (B, len(times), words)."""
        ...


def naive(model: SequenceModel, vectors: Tensor, words: Sequence[int], basis: Tensor | None = None) -> Blocks:
    """Gradients of each position's logit of its word by one backward for each: the reference for what is quicker.

    Args:
        model: evaluated as it is.
        vectors: (T, d), what it reads.
        words: T ids, −1 for none.
        basis: (features, d), or None: gradients come multiplied by it.
    """
    leaf = vectors.detach().requires_grad_()
    with torch.enable_grad():
        logits = model.forward_from_embeddings(leaf[None])[0]
    for time, word in targets_of(words):
        with torch.enable_grad():
            value = logits[time, word]
        (gradient,) = torch.autograd.grad(value, leaf, retain_graph=True)
        yield Block((time,), slice(0, time + 1), _in_basis(gradient[None, : time + 1], basis))


def generic(
    model: SequenceModel, vectors: Tensor, words: Sequence[int], basis: Tensor | None = None, chunk: int = CHUNK
) -> Blocks:
    """The same, with the backward passes of `chunk` neighbouring targets in one, over the positions they can see."""
    # where a vocabulary is large, its logits at many positions cost more than another forward
    shared = chunk if len(words) <= SHORT or hasattr(model, "logits_at") else max(chunk, SHARED)
    for several in chunks_of(targets_of(words), shared):
        end = several[-1][0] + 1
        leaf = vectors[:end].detach().requires_grad_()
        with torch.enable_grad():
            values = values_of(model, leaf[None], several)[0]
        for first in range(0, len(several), chunk):
            rows = tuple(time for time, _ in several[first : first + chunk])
            each, last = _each(values)[first : first + chunk], first + chunk >= len(several)
            found = torch.autograd.grad(values, leaf, each, is_grads_batched=True, retain_graph=not last)
            yield Block(rows, slice(0, end), _in_basis(found[0], basis))


def two_sided(
    model: Differentiable, source: Tensor, read: Tensor, words: Sequence[int], chunk: int = CHUNK
) -> Iterator[tuple[Block, Block]]:
    """The same of an encoder-decoder model, with respect to what either side reads.

    Args:
        model: evaluated as it is.
        source: (S, d).
        read: (T, d), what the decoder reads.
        words: T ids that it predicts, −1 for none.
        chunk: targets at a time.

    Returns:
        For each chunk its gradients with respect to the source (targets, S, d) and to what was read.
    """
    for some in chunks_of(targets_of(words), chunk):
        times = tuple(time for time, _ in some)
        leaves = source.detach().requires_grad_(), read[: times[-1] + 1].detach().requires_grad_()
        with torch.enable_grad():
            logits = model.forward_from_embeddings(leaves[0][None], leaves[1][None])[0]
            values = logits[list(times), [word for _, word in some]]
        first, second = torch.autograd.grad(values, leaves, _each(values), is_grads_batched=True)
        yield Block(times, slice(0, len(source)), first), Block(times, slice(0, times[-1] + 1), second)


def values_of(model: SequenceModel, vectors: Tensor, targets: Sequence[tuple[int, int]]) -> Tensor:
    """Logits (B, targets) of words at times, from vectors (B, T, d)."""
    times, words = [time for time, _ in targets], [word for _, word in targets]
    if hasattr(model, "logits_at"):
        choosy: Choosy = model  # type: ignore[assignment]
        logits = choosy.logits_at(vectors, times)
    elif hasattr(model, "hidden_from_embeddings"):
        headed: Headed = model  # type: ignore[assignment]
        logits = headed.logits(headed.hidden_from_embeddings(vectors)[:, times])  # (B, targets, words)
    else:
        logits = model.forward_from_embeddings(vectors)[:, times]
    return logits[:, range(len(words)), words]


def chunk_of(model: nn.Module, length: int, budget: int, device: str) -> int:
    """How many targets at a time fit into a budget of bytes, and suit the device."""
    each, kept = _bytes(model, length)
    return fitting(budget, each, kept, MOST if device != "cpu" else max(2, min(CHUNK, ROWS // length)))


def memory_of(model: nn.Module, length: int, chunk: int) -> int:
    """Bytes that `generic` takes, beside the weights, as far as they can be told from the weights' shapes.

    A forward is taken to keep three numbers for each output of each matrix at each position, and a matrix of
    attention weights for each 64 of them; the backward of a target half of that, and the logits. Models differ: of
    those tried a Transformer and an LSTM took up to twice as much, a GRU a fifth.
    """
    each, kept = _bytes(model, length)
    return kept + chunk * each


def _bytes(model: nn.Module, length: int) -> tuple[int, int]:
    """Bytes of each target, and of the forward."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    tables = max(map(len, matrices), default=1) if hasattr(model, "logits_at") else 0  # which few positions go through
    outputs = sum(len(matrix) for matrix in matrices if len(matrix) != tables)
    size = matrices[0].element_size() if matrices else 4
    kept = (3 * outputs * length + outputs // 64 * length**2) * size
    return kept // 2 + max(map(len, matrices), default=1) * size, kept


def _each(values: Tensor) -> Tensor:
    """Unit vectors: the gradient of every value by itself."""
    return torch.eye(len(values), dtype=values.dtype, device=values.device)


def _in_basis(gradients: Tensor, basis: Tensor | None) -> Tensor:
    return gradients if basis is None else gradients @ basis.T
