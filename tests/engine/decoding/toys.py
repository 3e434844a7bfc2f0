"""Models of a few words whose log-probabilities are looked up, and every output they could ever give."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.decoding.beam import Searched, repeated
from engine.decoding.options import BeamOptions
from engine.decoding.search import Vocabulary
from engine.text import END, PAD, START, UNKNOWN

SPECIAL = 4  # words come after the special ids
CAREFUL = Vocabulary(PAD, START, END, banned=(PAD, UNKNOWN, START))
LAYERS, HEADS = 2, 3
LIVE = ("kept", "forced")
Row = Callable[[tuple[int, ...], tuple[int, ...]], Sequence[float]]
"""Log-probabilities of the next token, of a source and of what has been said."""


@dataclass(frozen=True)
class Said:
    """A state: for each row its source and what it has read, <s> first."""

    sources: tuple[tuple[int, ...], ...]
    read: tuple[tuple[int, ...], ...]

    def select(self, rows: Tensor) -> Said:
        chosen = rows.tolist()
        return Said(tuple(self.sources[i] for i in chosen), tuple(self.read[i] for i in chosen))


class Toy:
    """A model that looks everything up; it counts its steps and rows, for the tests only."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.batches: list[int] = []

    def encode(self, source: Tensor) -> Said:
        rows = tuple(tuple(ids) for ids in source.tolist())
        return Said(rows, ((),) * len(rows))

    def step(self, state: Said, tokens: Tensor) -> tuple[Tensor, Said]:
        assert len(tokens) == len(state.sources)
        self.batches.append(len(tokens))
        read = tuple((*before, token) for before, token in zip(state.read, tokens.tolist(), strict=True))
        assert {before[0] for before in read} == {START}
        sources = [tuple(token for token in source if token != PAD) for source in state.sources]
        rows = [self.row(source, before[1:]) for source, before in zip(sources, read, strict=True)]
        return torch.tensor(np.array(rows), dtype=torch.float32), Said(state.sources, read)

    def step_with_cross(self, state: Said, tokens: Tensor) -> tuple[Tensor, Said, Tensor]:
        logprobs, state = self.step(state, tokens)
        wide = len(state.sources[0])
        return logprobs, state, torch.stack([looked(read, wide) for read in state.read])


def looked(read: tuple[int, ...], wide: int) -> Tensor:
    """Numbers that tell one prefix from another: (layer, head, source)."""
    generator = torch.Generator().manual_seed(hash(read) % 2**31)
    return torch.rand(LAYERS, HEADS, wide, generator=generator)


def drawn(seed: int, words: int, ends: float = 1.0) -> Row:
    """Log-probabilities at random but always the same: the more `ends`, the sooner outputs end."""

    def row(source: tuple[int, ...], said: tuple[int, ...]) -> Sequence[float]:
        made = np.random.default_rng([seed, *source, 99, *said]).normal(size=SPECIAL + words) * 1.5
        made[END] += ends
        return made - np.log(np.exp(made).sum())

    return row


def table(entries: dict[str, dict[str, float]], words: str) -> Row:
    """Probabilities by what has been said, spelt in one-letter words; "." is </s>. What is not given is impossible."""

    def row(source: tuple[int, ...], said: tuple[int, ...]) -> Sequence[float]:
        given = entries.get(spelt(said, words), {})
        ids = {word: SPECIAL + i for i, word in enumerate(words)} | {".": END}
        made = [-math.inf] * (SPECIAL + len(words))
        for word, share in given.items():
            made[ids[word]] = math.log(share)
        return made

    return row


def spelt(ids: Sequence[int], words: str) -> str:
    """Ids as one-letter words."""
    return "".join("." if token == END else words[token - SPECIAL] for token in ids)


def outputs(
    row: Row, source: tuple[int, ...], options: BeamOptions, prefix: tuple[int, ...] = (), score: float = 0.0
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every output that goes on from a prefix, with the sum of its log-probabilities from there on."""
    logprobs = row(source, prefix)
    banned = repeated((START, *prefix), options.no_repeat) if options.no_repeat else set()
    for token in (END, *range(SPECIAL, len(logprobs))):
        if token in banned or logprobs[token] == -math.inf:
            continue
        said, value = (*prefix, token), score + logprobs[token]
        if token == END or len(said) == options.max_length:
            yield said, value
        else:
            yield from outputs(row, source, options, said, value)


def check(record: Searched, options: BeamOptions, forced: int = 0) -> None:
    """Everything that is true of any search's record; `forced` tokens began it."""
    nodes = record.nodes
    children = {node.parent for node in nodes}
    last = max(node.step for node in nodes)
    assert len(record.cross) == len(record.likely) == last
    for index, node in enumerate(nodes):
        assert node.parent < index, "parents come first"
        before = nodes[node.parent] if node.parent >= 0 else None
        assert node.step == (before.step if before else 0) + 1
        assert node.logprob <= 0
        # float32: the sum of a few log-probabilities, each around 1 to 10
        assert abs(node.score - ((before.score if before else 0) + node.logprob)) <= 1e-4
        assert node.score <= (before.score if before else 0), "no log-probability is above 0"
        assert (node.state == "forced") == (node.step <= forced)
        # a live prefix has no children where none of its expansions was looked at
        assert index not in children or (node.state in LIVE and node.step < last)
        assert (node.state == "cut") == (node.reason == "the length limit")
        assert bool(node.reason) == (node.state in ("pruned", "cut", "forced"))
        if node.state == "finished":
            assert node.token == END
        elif node.state != "pruned":
            assert node.token != END
        if node.state == "cut":
            assert node.step == options.max_length
    for step in range(1, last + 1):
        there = [node for node in nodes if node.step == step]
        lives = [node for node in there if node.state in ("kept", "forced")]
        assert len(lives) <= options.beams
        if step > forced:
            assert [node.rank for node in there] == list(range(len(there))), "ranks begin at 0 and leave none out"
            assert [node.score for node in there] == sorted((node.score for node in there), reverse=True)
        rows = 1 if step == 1 else len([node for node in nodes if node.step == step - 1 and node.state in LIVE])
        assert len(record.cross[step - 1]) == len(record.likely[step - 1]) == rows
        assert {node.row for node in there} <= set(range(rows))
    ended = [index for index, node in enumerate(nodes) if node.state in ("finished", "cut")]
    assert sorted(one.node for one in record.found) == ended, "every ended node is a hypothesis"
    placed = [one for one in record.found if one.place >= 0]
    assert [one.place for one in placed] == list(range(len(placed))) and record.found[: len(placed)] == (*placed,)
    assert len(placed) <= options.beams
    for one in record.found:
        assert (one.length, one.score) == (nodes[one.node].step, nodes[one.node].score)
        assert one.length == len(record.tokens(one.node))
        assert abs(one.final - one.score / options.divisor(one.length)) <= 1e-5 * abs(one.final)  # float32
    assert [one.final for one in placed] == sorted((one.final for one in placed), reverse=True)
    assert record.stopped
