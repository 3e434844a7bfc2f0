"""Searches over the step protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from engine.decoding.step import S, StepModel

BATCH_TOKENS = 2048  # source tokens, padding included, decoded side by side


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The ids a search must know. `banned` are never generated (padding, <s>, tags, the unknown piece)."""

    pad: int
    start: int
    end: int
    banned: tuple[int, ...] = ()


@torch.inference_mode()
def greedy(model: StepModel[S], source: torch.Tensor, vocabulary: Vocabulary, max_length: int) -> list[list[int]]:
    """The most probable token at every step, for several sources at once.

    Rows that have ended leave the batch, so that a row's result does not depend on its neighbours' length.

    Args:
        model: any model with a decoder.
        source: int64 (B, S), padded.
        vocabulary: special ids.
        max_length: the most tokens to generate, the end token included.

    Returns:
        For each row the generated ids; the last is `vocabulary.end` unless the limit cut it.
    """
    outputs: list[list[int]] = [[] for _ in range(len(source))]
    alive = torch.arange(len(source), device=source.device)
    tokens = torch.full((len(source),), vocabulary.start, device=source.device)
    banned = torch.tensor(vocabulary.banned, dtype=torch.long, device=source.device)
    state = model.encode(source)
    for _ in range(max_length):
        logprobs, state = model.step(state, tokens)
        tokens = logprobs.index_fill(1, banned, float("-inf")).argmax(dim=-1)
        for row, token in zip(alive.tolist(), tokens.tolist(), strict=True):
            outputs[row].append(token)
        going = (tokens != vocabulary.end).nonzero()[:, 0]
        if len(going) == 0:
            break
        if len(going) < len(tokens):
            alive, tokens, state = alive[going], tokens[going], state.select(going)
    return outputs


def pad_rows(rows: Sequence[Sequence[int]], pad: int, device: torch.device | str) -> torch.Tensor:
    """Id sequences to int64 (B, longest), padded at the end."""
    width = max(map(len, rows))
    padded = [[*row, *[pad] * (width - len(row))] for row in rows]
    return torch.tensor(padded, dtype=torch.long, device=device)  # no token at all is int64 too


def greedy_many(
    model: StepModel[S],
    sources: Sequence[Sequence[int]],
    vocabulary: Vocabulary,
    max_length: int,
    device: torch.device | str,
    report: Callable[[int], None] = lambda done: None,
) -> list[list[int]]:
    """`greedy` for any number of sources, similar lengths together.

    Args:
        model: any model with a decoder.
        sources: ids of each source, its end token included.
        vocabulary: special ids.
        max_length: the most tokens to generate, the end token included.
        device: where the model is.
        report: called with the number of sources finished since the last call.

    Returns:
        Generated ids in the order of `sources`.
    """
    outputs: list[list[int]] = [[] for _ in sources]
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    while order:
        width = len(sources[order[-1]])
        count = max(1, BATCH_TOKENS // width)
        chosen, order = order[-count:], order[:-count]
        batch = pad_rows([sources[i] for i in chosen], vocabulary.pad, device)
        for i, ids in zip(chosen, greedy(model, batch, vocabulary, max_length), strict=True):
            outputs[i] = ids
        report(len(chosen))
    return outputs
