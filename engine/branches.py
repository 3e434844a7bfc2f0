"""Walks through what a language model may say, in the beam tree's record: a reader's own, and samples.

Nothing that was taken is ever lost: to rewind is to go on from an earlier node, and what was taken before is a branch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.decoding.options import SampleOptions
from engine.decoding.sampling import Sampled
from engine.errors import InputError
from engine.prose_tokens import ProseTokenizer
from engine.surprise import logprobs_along
from engine.types import BeamNode, BeamTree, Choice, Hypothesis, NodeState, Tokens

if TYPE_CHECKING:
    from engine.generator import Generator

ROOT = -1
"""In place of a node: the prompt, before anything was taken."""


def begin(source: Tokens, title: str = "Tokens taken") -> BeamTree:
    """A tree in which nothing was taken yet.

    Args:
        source: the prompt's tokens.
        title: what a screen calls it.
    """
    return BeamTree(title, source, (), (), (), 0, "nothing ends a walk but its reader")


def take(tree: BeamTree, node: int, choice: Choice, *, ends: bool = False) -> tuple[BeamTree, int]:
    """Go on from a node with a token: the same tree where the token was taken there before, else one with a new node.

    Args:
        tree: which stays as it is.
        node: its index; `ROOT` for the prompt.
        choice: what is taken.
        ends: whether nothing can come after it, as after </s>.

    Returns:
        The tree, and the index of the token's node.

    Raises:
        InputError: there is no such node, or it ends the text.
    """
    logprob = math.log(max(choice.before, 1e-300))
    grown = _Growing(tree.nodes)
    at = grown.add(node, choice.token, choice.label, logprob, "finished" if ends else "kept")
    return (tree if len(grown.nodes) == len(tree.nodes) else replace(tree, nodes=tuple(grown.nodes))), at


class _Growing:
    """The nodes of a tree that grows, and what finds a place in it at once: a long walk has thousands of them."""

    def __init__(self, nodes: Sequence[BeamNode] = ()) -> None:
        self.nodes: list[BeamNode] = []
        self._at: dict[tuple[int, int], int] = {}
        self._rows: list[int] = []  # of each node: its place among those of its step
        self._widths: Counter[int] = Counter()
        for node in nodes:
            self._put(node)

    def _put(self, node: BeamNode) -> None:
        self._at.setdefault((node.parent, node.token), len(self.nodes))
        self._rows.append(self._widths[node.step])
        self._widths[node.step] += 1
        self.nodes.append(node)

    def add(self, node: int, token: int, label: str, logprob: float, state: NodeState) -> int:
        """The index of a token's node after another one, new where the token was not taken there before."""
        if not ROOT <= node < len(self.nodes):
            raise InputError("The tree has no such node. Choose one that is drawn.")
        if (node, token) in self._at:
            return self._at[node, token]
        before = self.nodes[node] if node != ROOT else None
        if before is not None and before.state == "finished":
            raise InputError("The text has ended there: nothing comes after </s>. Go back to an earlier token.")
        step = before.step + 1 if before else 1
        row = self._rows[node] if before else 0
        score = (before.score if before else 0.0) + min(0.0, logprob)
        self._put(BeamNode(node, step, token, label, min(0.0, logprob), score, self._widths[step], state, "", row))
        return len(self.nodes) - 1


def path_ids(tree: BeamTree, node: int) -> tuple[int, ...]:
    """The tokens from the prompt up to a node; none at `ROOT`."""
    return tuple(tree.nodes[index].token for index in tree.path(node))


def node_at(tree: BeamTree, ids: Sequence[int]) -> int:
    """The node that these tokens lead to; `ROOT` for none.

    Raises:
        InputError: they were never taken.
    """
    children = {(node.parent, node.token): index for index, node in enumerate(tree.nodes)}
    at = ROOT
    for token in ids:
        if (at, token) not in children:
            raise InputError("These tokens were never taken one after another. Take them first.")
        at = children[at, token]
    return at


def ends_of(tree: BeamTree) -> tuple[tuple[int, ...], ...]:
    """The tokens of every branch, in the order in which they were taken: what `walk_of` makes the same tree of."""
    inner = {node.parent for node in tree.nodes}
    return tuple(path_ids(tree, index) for index in range(len(tree.nodes)) if index not in inner)


def walk_of(generator: Generator, prompt: str, paths: Sequence[Sequence[int]]) -> BeamTree:
    """The tree of some walks, each a sequence of tokens after one prompt, with the model's probabilities.

    Args:
        generator: the model.
        prompt: as it was typed.
        paths: what was taken, the first first; they may begin alike.

    Raises:
        InputError: a prompt or tokens that a text cannot have.
    """
    tree, grown = begin(generator.prompt(prompt).tokens), _Growing()
    for path in paths:
        tokens = generator.tokens_of(prompt, path)
        logprobs = logprobs_along(generator, tokens.ids)[len(tokens) - 1 - len(path) :] if path else ()
        at = ROOT
        for token, logprob in zip(path, logprobs, strict=True):
            ended: NodeState = "finished" if token == generator.end else "kept"
            at = grown.add(at, token, generator.tokenizer.label_of(token), float(logprob), ended)
    return replace(tree, nodes=tuple(grown.nodes))


def sampled_tree(generator: Generator, source: Tokens, found: Sampled, options: SampleOptions) -> BeamTree:
    """The record of several samples with labels and texts.

    Args:
        generator: the model.
        source: what they go on from.
        found: the draw.
        options: how it was drawn.
    """
    tokenizer, record = generator.tokenizer, found.record
    nodes = tuple(
        BeamNode(
            node.parent, node.step, node.token, tokenizer.label_of(node.token), min(0.0, node.logprob),
            min(0.0, node.score), node.rank, node.state, node.reason, node.row, count,
        )
        for node, count in zip(record.nodes, found.counts, strict=True)
    )  # fmt: skip
    hypotheses = tuple(
        Hypothesis(
            one.node,
            _said(tokenizer, source, record.tokens(one.node)),
            one.length,
            one.score,
            one.final,
            one.place,
        )
        for one in record.found
    )
    likely = tuple(
        tuple(tuple((tokenizer.label_of(token), value) for token, value in row) for row in step)
        for step in record.likely
    )
    cross = tuple(step.numpy() for step in record.cross)
    return BeamTree(title_of(options), source, nodes, hypotheses, (), 0, record.stopped, cross, likely)


def _said(tokenizer: ProseTokenizer, source: Tokens, ids: Sequence[int]) -> str:
    """What ids add to a text."""
    text, before = source.text, [*source.ids]
    for token in ids:
        text += tokenizer.added(text, before, token)
        before.append(token)
    return text[len(source.text) :]


def title_of(options: SampleOptions) -> str:
    """How samples were drawn, in a few words: "8 samples, temperature 0.8, top-p 0.9, seed 3"."""
    parts = [f"{options.samples} sample{'s' if options.samples > 1 else ''}", f"temperature {options.temperature:g}"]
    if options.top_k:
        parts.append(f"top-k {options.top_k}")
    if options.top_p < 1:
        parts.append(f"top-p {options.top_p:g}")
    return ", ".join([*parts, f"seed {options.seed}"])
