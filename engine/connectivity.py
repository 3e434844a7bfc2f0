"""Connectivity: how much every output of a sequence model depends on every input before it.

Source: Madsen 2019, "Visualizing memorization in RNNs" (Distill): c(t, t̃) = ‖∂ logit_k(t̃) / ∂x^t‖₂, the desired
output's logit at output time t̃ with respect to the input at time t.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from engine import connectivity_causal, connectivity_generic, connectivity_recurrent
from engine.connectivity_blocks import Blocks, Mode, Report, basis_for, collect, norm, table_of, weight_of
from engine.connectivity_generic import SequenceModel
from engine.errors import ConfigError, EmptyInput, InputTooLong, Unsupported
from engine.gradients import Differentiable
from engine.models.autocomplete import Autocomplete, CausalTransformer
from engine.models.gpt import GPT
from engine.models.recurrent import RecurrentStack
from engine.models.transformer import EncoderLayer
from engine.types import MASKED, Connectivity

Method = Literal["auto", "naive", "generic", "recurrent", "causal"]
BUDGET = 512 * 2**20
"""Bytes that a connectivity takes beside the weights, about."""


@dataclass(frozen=True, slots=True)
class TwoSided:
    """The connectivity of an encoder-decoder model: of each output with what either side read.

    Attributes:
        source: (T, S).
        target: (T, T).
    """

    source: Connectivity
    target: Connectivity


@dataclass(frozen=True, slots=True)
class Plan:
    """How a connectivity will be computed.

    Attributes:
        method: which one "auto" stands for.
        chunk: how much goes side by side: targets ("generic"), rows, one for each target and position ("causal"), or
            everything (0).
        memory: bytes beside the weights, estimated.
    """

    method: Method
    chunk: int
    memory: int


def connectivity(
    model: SequenceModel,
    ids: Sequence[int],
    words: Sequence[int],
    mode: Mode = "one-hot",
    *,
    method: Method = "auto",
    budget: int = BUDGET,
    report: Report | None = None,
) -> Connectivity:
    """How much the logit of each position's word depends on each input up to there.

    Args:
        model: causal, in evaluation mode; its own parameters get no gradient.
        ids: what it reads, T at least 1.
        words: for each position whose logit is looked at, e.g. the desired word or one of `top_words`; −1 leaves the
            position out.
        mode: see `Connectivity`.
        method: "auto" takes the quickest that the model allows. All give the same up to rounding.
        budget: bytes to take beside the weights, about; what is kept of the forward may take more.
        report: called with the share that is done, in (0, 1]; what it raises ends the work.
    """
    vectors = read_vectors(model, ids, words)
    basis = basis_for(model.embedding, mode)
    found = collect(gradients(model, vectors, words, basis, method, budget), words, norm, report)
    exact = found.numpy()
    return Connectivity.of(exact**2 if mode == "squared" else exact, mode, words)


def two_sided(
    model: Differentiable,
    source: Sequence[int],
    target: Sequence[int],
    words: Sequence[int],
    mode: Mode = "one-hot",
    *,
    chunk: int = connectivity_generic.CHUNK,
    report: Report | None = None,
) -> TwoSided:
    """The same of an encoder-decoder model.

    Args:
        model: in evaluation mode.
        source: ids, </s> last.
        target: ids that the decoder reads, <s> first.
        words: as long as `target`; −1 leaves a position out.
        mode: see `Connectivity`.
        chunk: targets at a time.
        report: as in `connectivity`.
    """
    target_vectors = read_vectors(model, target, words, model.target_embedding)
    source_vectors = read_vectors(model, source, (MASKED,) * len(source))
    bases = basis_for(model.embedding, mode), basis_for(model.target_embedding, mode)
    sides = torch.zeros(len(words), len(source), dtype=torch.float64), torch.zeros(len(words), len(words)).double()
    whole, done = sum(word != MASKED for word in words), 0
    for blocks in connectivity_generic.two_sided(model, source_vectors, target_vectors, words, chunk):
        for side, block, basis in zip(sides, blocks, bases, strict=True):
            side[list(block.rows), block.columns] = norm(block.times(basis))
        done += len(blocks[0].rows)
        if report is not None:
            report(done / whole)
    sides[1].tril_()
    exact = [side.numpy() ** 2 if mode == "squared" else side.numpy() for side in sides]
    return TwoSided(*(Connectivity.of(side, mode, words) for side in exact))


@torch.no_grad()
def top_words(model: SequenceModel, ids: Sequence[int], rank: int = 0) -> tuple[int, ...]:
    """At each position the word of the highest logit, or of the next ones: rank 0, 1, ..."""
    device = next(model.embedding.parameters()).device
    logits = model.forward_from_embeddings(model.embedding(torch.tensor([tuple(ids)], device=device)))[0]
    if not 0 <= rank < logits.shape[1]:
        raise ConfigError(f"There are {logits.shape[1]} words. Choose a rank from 0 to {logits.shape[1] - 1}.")
    return tuple(logits.topk(rank + 1).indices[:, rank].tolist())


def plan(model: SequenceModel, length: int, *, method: Method = "auto", budget: int = BUDGET) -> Plan:
    """Which method, in which portions, and about how many bytes, for a text of that length with a target everywhere."""
    assert isinstance(model, nn.Module)
    method, device = _resolve(model, method), next(model.embedding.parameters()).device.type
    if method == "recurrent":
        stack, _ = recurrent_parts(model)
        return Plan(method, 0, connectivity_recurrent.memory_of(stack, length, length))
    if method == "causal":
        parts = causal_parts(model)
        rows = connectivity_causal.rows_of(parts, length, budget, device)
        return Plan(method, rows, connectivity_causal.memory_of(parts, length, rows))
    chunk = 1 if method == "naive" else connectivity_generic.chunk_of(model, length, budget, device)
    return Plan(method, chunk, connectivity_generic.memory_of(model, length, chunk))


def gradients(
    model: SequenceModel,
    vectors: Tensor,
    words: Sequence[int],
    basis: Tensor | None = None,
    method: Method = "auto",
    budget: int = BUDGET,
) -> Blocks:
    """The gradients themselves, piece by piece, with respect to vectors (T, d) that need not be of any symbol."""
    planned = plan(model, len(vectors), method=method, budget=budget)
    return WAYS[planned.method](model, vectors, words, basis, planned.chunk)


def _naive(model: SequenceModel, vectors: Tensor, words: Sequence[int], basis: Tensor | None, chunk: int) -> Blocks:
    return connectivity_generic.naive(model, vectors, words, basis)


def _recurrent(model: SequenceModel, vectors: Tensor, words: Sequence[int], basis: Tensor | None, chunk: int) -> Blocks:
    return connectivity_recurrent.recurrent(*recurrent_parts(model), vectors, words, basis)


def _causal(model: SequenceModel, vectors: Tensor, words: Sequence[int], basis: Tensor | None, chunk: int) -> Blocks:
    if isinstance(model, GPT):
        return connectivity_causal.causal(causal_parts(model), model.place(vectors[None])[0], words, basis, chunk)
    assert isinstance(model, Autocomplete) and isinstance(model.body, CausalTransformer)
    longest, positions = model.body.config.max_length, model.body.positions
    if len(vectors) > longest:
        raise InputTooLong(
            f"This model reads {longest} characters at most, and the text has {len(vectors)}. Shorten it."
        )
    placed = vectors + positions[: len(vectors)].to(vectors.dtype)
    return connectivity_causal.causal(causal_parts(model), placed, words, basis, chunk)


WAYS: dict[Method, Callable[[SequenceModel, Tensor, Sequence[int], Tensor | None, int], Blocks]] = {
    "naive": _naive,
    "generic": connectivity_generic.generic,
    "recurrent": _recurrent,
    "causal": _causal,
}


def recurrent_parts(model: SequenceModel) -> tuple[RecurrentStack, Tensor]:
    """A recurrent model's cells, and its output matrix (words, H)."""
    if isinstance(model, Autocomplete) and isinstance(model.body, RecurrentStack):
        return model.body, model.output.weight.detach()
    raise Unsupported('This model is not recurrent. Choose another method: "auto" finds one that fits.')


def causal_parts(model: SequenceModel) -> connectivity_causal.CausalParts:
    """A causal Transformer's layers, norm and output matrix."""
    if isinstance(model, GPT):
        blocks = tuple(layer for layer in model.layers if isinstance(layer, EncoderLayer))
        return connectivity_causal.CausalParts(blocks, model.norm, model.embedding.weight.detach())
    if isinstance(model, Autocomplete) and isinstance(model.body, CausalTransformer):
        layers = tuple(layer for layer in model.body.layers if isinstance(layer, EncoderLayer))
        return connectivity_causal.CausalParts(layers, model.body.norm, model.output.weight.detach())
    raise Unsupported('This model is no causal Transformer. Choose another method: "auto" finds one that fits.')


def _resolve(model: SequenceModel, method: Method) -> Method:
    """What "auto" stands for."""
    if method not in get_args(Method):
        raise ConfigError(f"There is no method {method!r}. Choose one of: {', '.join(get_args(Method))}.")
    if method != "auto":
        return method
    if isinstance(model, Autocomplete):
        return "recurrent" if isinstance(model.body, RecurrentStack) else "causal"
    return "causal" if isinstance(model, GPT) else "generic"


def read(model: SequenceModel | Differentiable, ids: Sequence[int], words: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The vectors of all symbols (symbols, d), and those of ids (T, d)."""
    return table_of(model.embedding), read_vectors(model, ids, words)


@torch.no_grad()
def read_vectors(
    model: SequenceModel | Differentiable, ids: Sequence[int], words: Sequence[int], embedding: nn.Module | None = None
) -> Tensor:
    """The vectors of ids (T, d), by the model's `embedding` or another one.

    Args:
        model: in evaluation mode.
        ids: T at least 1.
        words: T of them, whose logits are looked at; −1 for none.
        embedding: ids to vectors.

    Raises:
        EmptyInput, ConfigError: what cannot be.
    """
    assert isinstance(model, nn.Module) and not model.training, "dropout makes no gradient of the model as it is"
    if not ids:
        raise EmptyInput("There is no text to read. Enter at least one character.")
    if len(words) != len(ids):
        raise ConfigError(f"{len(words)} words for {len(ids)} positions: give one for each, −1 where there is none.")
    if any(word < MASKED for word in words):
        raise ConfigError(f"{min(words)} is no word. Give a number from 0, or −1 where there is none.")
    embedding = embedding or model.embedding
    vectors: Tensor = embedding(torch.tensor([tuple(ids)], device=weight_of(embedding).device))[0]
    return vectors
