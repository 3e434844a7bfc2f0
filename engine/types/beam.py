"""The record of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.types.trace import Tokens

NodeState = Literal["kept", "pruned", "finished", "cut", "forced"]
"""What became of an expansion: it lives on, it does not, it ended with </s>, it ended at the length limit, or it was
never chosen but given."""


@dataclass(frozen=True, slots=True)
class BeamNode:
    """One expansion of a search: a prefix and a token after it.

    Attributes:
        parent: index of the prefix's own node; −1 for the empty prefix.
        step: how many tokens the prefix has with this one; the first expansions are step 1.
        token: its id.
        label: what a screen shows of it.
        logprob: natural log-probability of the token after the prefix, ≤ 0.
        score: the sum of all log-probabilities up to here, ≤ 0.
        rank: among all candidates of the step, from 0.
        state: what became of it.
        reason: why, in a few words: "rank 7 of k = 5"; "" where the state says all.
        row: which live prefix of the step it expands, from 0.
        count: how many samples go through it; 1 in a beam search.
    """

    parent: int
    step: int
    token: int
    label: str
    logprob: float
    score: float
    rank: int
    state: NodeState
    reason: str
    row: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """An output that a search finished.

    Attributes:
        node: its last node.
        text: the output.
        length: tokens generated, </s> included.
        score: the sum of log-probabilities.
        final: what hypotheses are ranked by: the sum divided by the length penalty.
        rank: from 0; −1 for one that better ones pushed out of the k best.
    """

    node: int
    text: str
    length: int
    score: float
    final: float
    rank: int


@dataclass(frozen=True, slots=True)
class BeamTree:
    """The record of a search that really ran: every expansion that it looked at.

    Attributes:
        title: what was searched, in a few words: "beam search, k = 4", "forced after “le vieil”".
        source: the source's tokens, </s> included.
        nodes: parents before their children, in the order in which they were looked at.
        hypotheses: the finished ones, best first, those pushed out last.
        greedy: the nodes of the greedy output as far as the search recorded them.
        left: the step at which the greedy output leaves the best hypothesis, from 1; 0 if it never does.
        stopped: why the search ended, as a clause.
        cross: for each step, float32 (live prefix, layer, head, source position): where each live prefix looked while
            it predicted the next token.
        likely: for each step and live prefix the most probable next tokens as (label, log-probability), best first.
        notes: what else is to be said.
    """

    title: str
    source: Tokens
    nodes: tuple[BeamNode, ...]
    hypotheses: tuple[Hypothesis, ...]
    greedy: tuple[int, ...]
    left: int
    stopped: str
    cross: tuple[np.ndarray, ...] = ()
    likely: tuple[tuple[tuple[tuple[str, float], ...], ...], ...] = ()
    notes: tuple[str, ...] = ()

    def path(self, node: int) -> tuple[int, ...]:
        """The nodes from the beginning up to this one."""
        found: list[int] = []
        while node >= 0:
            found.append(node)
            node = self.nodes[node].parent
        return tuple(reversed(found))

    @property
    def best(self) -> tuple[int, ...]:
        """The nodes of the best hypothesis; none if nothing was finished."""
        return self.path(self.hypotheses[0].node) if self.hypotheses else ()
