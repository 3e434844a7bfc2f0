"""Beam search over the step protocol, with a record of every expansion that was looked at.

The search is that of `transformers`' `generate`: k live prefixes are refilled from the best 2k candidates, candidates
among the best k that end go into a pool of the k best finished hypotheses by final score, and the search stops when
`early_stopping` says so. The lecture's shrinking beam is an option.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.decoding.options import BeamOptions
from engine.decoding.search import Vocabulary, pad_rows
from engine.decoding.step import MapModel, S
from engine.errors import InputError
from engine.types import NodeState

LIKELY = 10
"""Tokens of each next-token distribution that are recorded."""

Likely = tuple[tuple[tuple[int, float], ...], ...]
"""For each live prefix the most probable next tokens as (token, log-probability), best first."""


@dataclass(frozen=True, slots=True)
class Node:
    """One expansion: a prefix and a token after it.

    Attributes:
        parent: index of the prefix's own node; −1 for the empty prefix.
        step: how many tokens the prefix has with this one.
        token: its id.
        logprob: natural log-probability of the token after the prefix.
        score: the sum of all log-probabilities up to here.
        rank: among all candidates of the step, from 0.
        state: "kept" lives on, "pruned" does not, "finished" ends with </s>, "cut" ended at the length limit, "forced"
            was not chosen by the search.
        reason: why, where it is not plain.
        row: which live prefix it expands, from 0.
    """

    parent: int
    step: int
    token: int
    logprob: float
    score: float
    rank: int
    state: NodeState
    reason: str
    row: int


@dataclass(frozen=True, slots=True)
class Found:
    """A finished hypothesis.

    Attributes:
        node: its last node.
        length: tokens generated.
        score: the sum of log-probabilities.
        final: the sum divided by the penalty; hypotheses are ranked by it.
        place: in the final pool, from 0; −1 if others pushed it out.
    """

    node: int
    length: int
    score: float
    final: float
    place: int


@dataclass(frozen=True, slots=True)
class Searched:
    """The record of one search.

    Attributes:
        nodes: every expansion recorded, parents first.
        found: finished hypotheses, the pool first by rank, then those pushed out of it.
        stopped: why the search ended.
        cross: for each step, float32 (live prefix, layer, head, source position): where each live prefix looked while
            it predicted the next token.
        likely: for each step and live prefix, the most probable next tokens as (token, log-probability).
    """

    nodes: tuple[Node, ...]
    found: tuple[Found, ...]
    stopped: str
    cross: tuple[Tensor, ...]
    likely: tuple[Likely, ...]

    def tokens(self, node: int) -> tuple[int, ...]:
        """The tokens from the beginning up to a node."""
        found: list[int] = []
        while node >= 0:
            found.append(self.nodes[node].token)
            node = self.nodes[node].parent
        return tuple(reversed(found))


def most_likely(logprobs: Tensor) -> Likely:
    """The `LIKELY` most probable tokens of each row of log-probabilities (live prefix, vocabulary)."""
    best = logprobs.topk(min(LIKELY, logprobs.shape[1]), dim=-1)
    rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return tuple(tuple(zip(ids, values, strict=True)) for ids, values in rows)


@dataclass(slots=True)
class _Search:
    """One source's search while it runs. Scores are float32, as in transformers, so that ties fall alike.

    Attributes:
        forced: the tokens that the output begins with, whatever the model says.
        wide: source positions, without padding.
        live: for each live prefix its node and its tokens.
        scores: float32 (live,), of the live prefixes.
    """

    options: BeamOptions
    vocabulary: Vocabulary
    forced: tuple[int, ...]
    wide: int
    nodes: list[Node] = field(default_factory=list)
    live: list[int] = field(default_factory=lambda: [-1])
    prefixes: list[tuple[int, ...]] = field(default_factory=lambda: [()])
    scores: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.float32))
    pool: list[tuple[float, int]] = field(default_factory=list)  # (final score, node), best first
    ended: list[int] = field(default_factory=list)
    cross: list[Tensor] = field(default_factory=list)
    likely: list[Likely] = field(default_factory=list)
    stopped: str = ""

    def step(self, logprobs: Tensor, cross: Tensor) -> list[int]:
        """Take one step.

        Args:
            logprobs: float32 (live, vocabulary).
            cross: (live, layer, head, source).

        Returns:
            The rows that live on, in their new order; none if the search has ended.
        """
        self.cross.append(cross)
        self.likely.append(most_likely(logprobs))
        done = len(self.prefixes[0])
        return self._force(logprobs, self.forced[done]) if done < len(self.forced) else self._choose(logprobs)

    def _force(self, logprobs: Tensor, token: int) -> list[int]:
        value = logprobs[0, token]
        rank = int((logprobs[0] > value).sum())
        self.scores = self.scores + value
        step = len(self.prefixes[0]) + 1
        node = Node(self.live[0], step, token, float(value), float(self.scores[0]), rank, "forced", "forced", 0)
        self.nodes.append(node)
        self.live, self.prefixes = [len(self.nodes) - 1], [(*self.prefixes[0], token)]
        return [0]

    def _choose(self, logprobs: Tensor) -> list[int]:
        options, vocabulary = self.options, self.vocabulary
        width = options.beams - len(self.ended) if options.shrinking else options.beams
        looked = width if options.shrinking else 2 * width
        allowed = self._allowed(logprobs).flatten()
        total = allowed.view_as(logprobs).add(self.scores[:, None]).flatten()
        top = total.topk(min(max(looked, options.candidates), len(total)))
        values = allowed[top.indices].tolist()
        size = logprobs.shape[1]
        step = len(self.prefixes[0]) + 1
        last = step >= options.max_length
        rows: list[int] = []
        live: list[int] = []
        prefixes: list[tuple[int, ...]] = []
        kept: list[int] = []
        for rank, (score, place) in enumerate(zip(top.values.tolist(), top.indices.tolist(), strict=True)):
            if score == -math.inf:  # what may not be said comes last
                break
            row, token = divmod(place, size)
            ends = token == vocabulary.end
            state, reason = self._fate(rank, ends, last, width, len(live), looked)
            node = Node(self.live[row], step, token, values[rank], score, rank, state, reason, row)
            self.nodes.append(node)
            here = len(self.nodes) - 1
            if state in ("finished", "cut"):
                self._finish(here, score, step)
            elif state == "kept":
                rows.append(row)
                live.append(here)
                prefixes.append((*self.prefixes[row], token))
                kept.append(rank)
        self.scores = top.values[kept]
        self.live, self.prefixes = live, prefixes
        self._check(step, last)
        return [] if self.stopped else rows

    def _fate(self, rank: int, ends: bool, last: bool, width: int, kept: int, looked: int) -> tuple[NodeState, str]:
        """What becomes of a candidate, and why."""
        among = rank < width
        if ends or last:
            if not among:
                return "pruned", f"would end, but is rank {rank + 1} of k = {width}"
            return ("finished", "") if ends else ("cut", "the length limit")
        if rank >= looked or kept >= width:
            return "pruned", f"rank {rank + 1} of k = {width}"
        return "kept", ""

    def _allowed(self, logprobs: Tensor) -> Tensor:
        """Log-probabilities with what may not be said at −∞."""
        result = logprobs.index_fill(1, torch.tensor(self.vocabulary.banned, dtype=torch.long), -math.inf)
        if self.options.no_repeat:
            for row, prefix in enumerate(self.prefixes):
                repeats = repeated((self.vocabulary.start, *prefix), self.options.no_repeat)
                result[row, list(repeats)] = -math.inf
        return result

    def _finish(self, node: int, score: float, length: int) -> None:
        """A hypothesis enters the pool, which keeps the k best."""
        self.ended.append(node)
        # float32, as transformers divides: equal scores stay equal
        final = float(torch.tensor(score) / self.options.divisor(length))
        self.pool.append((final, node))
        if not self.options.shrinking:
            self.pool.sort(key=lambda one: -one[0])  # stable: of equals the earlier stays in front
            del self.pool[self.options.beams :]

    def _check(self, step: int, last: bool) -> None:
        """Whether the search ends here, and why."""
        options = self.options
        if last:
            self.stopped = f"the length limit of {options.max_length} tokens"
        elif options.shrinking and len(self.ended) >= options.beams:
            self.stopped = f"k = {options.beams} hypotheses are finished"
        elif not self.live:
            self.stopped = "nothing may follow"
        elif not options.shrinking and len(self.pool) >= options.beams:
            if options.stopping == "when k are finished":
                self.stopped = f"k = {options.beams} hypotheses are finished"
                return
            longest = options.stopping == "never early" and options.alpha > 0
            length = options.max_length if longest else step
            best = float(self.scores.max() / options.divisor(length))
            if best <= self.pool[-1][0]:
                reach = f"{best:.3f}".replace("-", "−")
                self.stopped = f"the best live prefix could reach {reach}, and k = {options.beams} finished have more"

    def done(self) -> Searched:
        """The record, with the pool ranked."""
        ranked = sorted(self.pool, key=lambda one: -one[0])
        places = {node: place for place, (_, node) in enumerate(ranked)}
        finals = {node: final for final, node in ranked}
        found = []
        for node in [*places, *(one for one in self.ended if one not in places)]:
            entry = self.nodes[node]
            final = finals.get(node, entry.score / self.options.divisor(entry.step))
            found.append(Found(node, entry.step, entry.score, final, places.get(node, -1)))
        return Searched(tuple(self.nodes), tuple(found), self.stopped, tuple(self.cross), tuple(self.likely))


def repeated(said: Sequence[int], size: int) -> set[int]:
    """The tokens that would end an n-gram of this size which `said` already has."""
    if len(said) < size:
        return set()
    tail = tuple(said[len(said) - size + 1 :])
    return {said[i + size - 1] for i in range(len(said) - size + 1) if tuple(said[i : i + size - 1]) == tail}


@torch.inference_mode()
def beam_search(
    model: MapModel[S],
    sources: Sequence[Sequence[int]],
    vocabulary: Vocabulary,
    options: BeamOptions,
    device: torch.device | str,
    prefixes: Sequence[Sequence[int]] | None = None,
    report: Callable[[int], None] = lambda step: None,
) -> list[Searched]:
    """Search for the best outputs of several sources at once, each as if it were alone.

    Args:
        model: any model with a decoder.
        sources: ids of each source, its end token included.
        vocabulary: special ids.
        options: how to search.
        device: where the model is.
        prefixes: for each source the tokens its output is forced to begin with; None for no such tokens.
        report: called after each step with the number of steps done; what it raises ends the search.

    Returns:
        The record of each search, in the order of `sources`.

    Raises:
        InputError: a forced beginning that leaves no room under the length limit.
    """
    forced = [tuple(prefix) for prefix in prefixes] if prefixes is not None else [()] * len(sources)
    searches = [
        _Search(options, vocabulary, prefix, len(source)) for prefix, source in zip(forced, sources, strict=True)
    ]
    return _run(model, model.encode(pad_rows(sources, vocabulary.pad, device)), searches, device, report)


@torch.inference_mode()
def search_side_by_side(
    model: MapModel[S],
    source: Sequence[int],
    vocabulary: Vocabulary,
    options: Sequence[BeamOptions],
    device: torch.device | str,
    prefix: Sequence[int] = (),
    report: Callable[[int], None] = lambda step: None,
) -> list[Searched]:
    """Search one source in several ways at once, each as if it were alone: little dearer than the longest of them.

    The arguments are those of `beam_search`. Gives the record of each search, in the order of `options`.
    """
    searches = [_Search(each, vocabulary, tuple(prefix), len(source)) for each in options]
    state = model.encode(pad_rows([source], vocabulary.pad, device))
    return _run(
        model, state.select(torch.zeros(len(options), dtype=torch.long, device=device)), searches, device, report
    )


def _run(
    model: MapModel[S], state: S, searches: Sequence[_Search], device: torch.device | str, report: Callable[[int], None]
) -> list[Searched]:
    """All searches, one row of the model for each live prefix, until the last has ended."""
    if any(len(search.forced) >= search.options.max_length for search in searches):
        raise InputError("The forced beginning fills the whole output. Choose a higher limit, or force less.")
    active = list(searches)
    tokens = torch.tensor([search.vocabulary.start for search in active], device=device)
    step = 0
    while active:
        logprobs, state, cross = model.step_with_cross(state, tokens)
        logprobs, cross = logprobs.float().cpu(), cross.float().cpu()
        rows: list[int] = []
        first = 0
        for search in active:
            count = len(search.live)
            span = slice(first, first + count)
            rows += [first + row for row in search.step(logprobs[span], cross[span, :, :, : search.wide])]
            first += count
        step += 1
        report(step)
        active = [search for search in active if not search.stopped]
        if active and rows != list(range(first)):
            state = state.select(torch.tensor(rows, device=device))
        tokens = torch.tensor([prefix[-1] for search in active for prefix in search.prefixes], device=device)
    return [search.done() for search in searches]
