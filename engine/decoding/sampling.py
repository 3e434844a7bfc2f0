"""Outputs drawn at random, token by token, as a tree: samples that begin alike share its nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.decoding.beam import Found, Likely, Node, Searched, most_likely
from engine.decoding.options import SampleOptions
from engine.decoding.search import Vocabulary, pad_rows
from engine.decoding.step import MapModel, S
from engine.errors import InputError


@dataclass(frozen=True, slots=True)
class Sampled:
    """The record of a draw, and how many samples go through each node."""

    record: Searched
    counts: tuple[int, ...]


def filtered(logprobs: Tensor, options: SampleOptions) -> Tensor:
    """Log-probabilities after temperature, top-k and top-p, in this order; what cannot be drawn is −∞.

    Source: Fan et al. 2018 (top-k); Holtzman et al. 2020, section 3.1 (top-p, the nucleus: the fewest most probable
    tokens whose probabilities add up to p at least).

    Args:
        logprobs: float32 (N, vocabulary).
        options: what to draw from.

    Returns:
        float32 (N, vocabulary), each row normalised.
    """
    scores = (logprobs - logprobs.amax(-1, keepdim=True)) / options.temperature  # the best stays finite
    if options.top_k:
        least = scores.topk(min(options.top_k, scores.shape[1]), dim=-1).values[:, -1:]
        scores = scores.masked_fill(scores < least, -math.inf)
    if options.top_p < 1:
        ordered, places = scores.sort(dim=-1, descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)  # the mass of all more probable tokens
        out = torch.zeros_like(scores, dtype=torch.bool).scatter(1, places, before >= options.top_p)
        scores = scores.masked_fill(out, -math.inf)
    return scores.log_softmax(-1)


@torch.inference_mode()
def sample_tree(
    model: MapModel[S],
    source: Sequence[int],
    vocabulary: Vocabulary,
    options: SampleOptions,
    device: torch.device | str,
    prefix: Sequence[int] = (),
    report: Callable[[int], None] = lambda step: None,
) -> Sampled:
    """Draw several outputs of one source.

    Each step draws for every sample by itself; samples that have said the same so far are one row of the model. Scores
    are the model's own log-probabilities, whatever the temperature was.

    Args:
        model: any model with a decoder.
        source: ids, its end token included.
        vocabulary: special ids.
        options: how to draw.
        device: where the model is.
        prefix: ids that every output begins with.
        report: called after each step with the number of steps done; what it raises ends the draw.

    Raises:
        InputError: a forced beginning that leaves no room under the length limit.
    """
    if len(prefix) >= options.max_length:
        raise InputError("The forced beginning fills the whole output. Choose a higher limit, or force less.")
    generator = torch.Generator().manual_seed(options.seed)
    nodes: list[Node] = []
    counts: list[int] = []
    found: list[Found] = []
    crosses: list[Tensor] = []
    likely: list[Likely] = []
    live, holds, scores = [-1], [options.samples], [0.0]
    state = model.encode(pad_rows([source], vocabulary.pad, device))
    tokens = torch.tensor([vocabulary.start], device=device)
    for step in range(1, options.max_length + 1):
        logprobs, state, cross = model.step_with_cross(state, tokens)
        logprobs = logprobs.float().cpu()
        crosses.append(cross.float().cpu())
        likely.append(most_likely(logprobs))
        if step <= len(prefix):
            drawn = [[prefix[step - 1]] * holds[0]]
        else:
            allowed = logprobs.clone()
            allowed[:, list(vocabulary.banned)] = -math.inf
            shares = filtered(allowed.log_softmax(-1), options).exp()
            drawn = [
                torch.multinomial(shares[row], count, replacement=True, generator=generator).tolist()
                for row, count in enumerate(holds)
            ]
        fresh: list[tuple[int, int, float, int]] = []  # row, count, score, node
        children = [(row, token) for row, words in enumerate(drawn) for token in dict.fromkeys(words)]
        values = [scores[row] + float(logprobs[row, token]) for row, token in children]
        ranks = {i: rank for rank, i in enumerate(sorted(range(len(children)), key=lambda i: (-values[i], i)))}
        for i in sorted(range(len(children)), key=ranks.__getitem__):
            row, token = children[i]
            count = drawn[row].count(token)
            state_of = "forced" if step <= len(prefix) else "kept"
            if token == vocabulary.end:
                state_of = "finished"
            elif step == options.max_length:
                state_of = "cut"
            reason = "the length limit" if state_of == "cut" else "forced" if state_of == "forced" else ""
            nodes.append(
                Node(live[row], step, token, float(logprobs[row, token]), values[i], ranks[i], state_of, reason, row)  # type: ignore[arg-type]
            )
            counts.append(count)
            if state_of in ("finished", "cut"):
                found.append(Found(len(nodes) - 1, step, values[i], values[i], 0))
            else:
                fresh.append((row, count, values[i], len(nodes) - 1))
        report(step)
        if not fresh:
            break
        rows = [row for row, *_ in fresh]
        live, holds, scores = [node for *_, node in fresh], [n for _, n, *_ in fresh], [s for _, _, s, _ in fresh]
        state = state.select(torch.tensor(rows, device=device))
        tokens = torch.tensor([nodes[node].token for node in live], device=device)
    ranked = sorted(found, key=lambda one: -one.final)
    placed = tuple(Found(one.node, one.length, one.score, one.final, place) for place, one in enumerate(ranked))
    stopped = "every sample has ended"
    return Sampled(Searched(tuple(nodes), placed, stopped, tuple(crosses), tuple(likely)), tuple(counts))
