"""Walks through what a language model may say, in the beam tree's record: a reader's own, and samples.

Nothing that was taken is ever lost: to rewind is to go on from an earlier node, and what was taken before is a branch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.decoding.options import SampleOptions
from engine.decoding.sampling import Sampled
from engine.errors import InputError
from engine.prose_tokens import joined
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
    return _add(tree, node, choice.token, choice.label, logprob, "finished" if ends else "kept")


def _add(tree: BeamTree, node: int, token: int, label: str, logprob: float, state: NodeState) -> tuple[BeamTree, int]:
    if not ROOT <= node < len(tree.nodes):
        raise InputError("The tree has no such node. Choose one that is drawn.")
    for index, other in enumerate(tree.nodes):
        if (other.parent, other.token) == (node, token):
            return tree, index
    before = tree.nodes[node] if node != ROOT else None
    if before is not None and before.state == "finished":
        raise InputError("The text has ended there: nothing comes after </s>. Go back to an earlier token.")
    step = before.step + 1 if before else 1
    row = [index for index, one in enumerate(tree.nodes) if one.step == step - 1].index(node) if before else 0
    score = (before.score if before else 0.0) + min(0.0, logprob)
    rank = sum(one.step == step for one in tree.nodes)
    new = BeamNode(node, step, token, label, min(0.0, logprob), score, rank, state, "", row)
    return replace(tree, nodes=(*tree.nodes, new)), len(tree.nodes)


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
    tree = begin(generator.prompt(prompt).tokens)
    for path in paths:
        tokens = generator.tokens_of(prompt, path)
        logprobs = logprobs_along(generator, tokens.ids)[len(tokens) - 1 - len(path) :] if path else ()
        at = ROOT
        for token, logprob in zip(path, logprobs, strict=True):
            ended: NodeState = "finished" if token == generator.end else "kept"
            tree, at = _add(tree, at, token, generator.tokenizer.label_of(token), float(logprob), ended)
    return tree


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
            joined(tokenizer, source.text, record.tokens(one.node))[len(source.text) :],
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


def title_of(options: SampleOptions) -> str:
    """How samples were drawn, in a few words: "8 samples, temperature 0.8, top-p 0.9, seed 3"."""
    parts = [f"{options.samples} sample{'s' if options.samples > 1 else ''}", f"temperature {options.temperature:g}"]
    if options.top_k:
        parts.append(f"top-k {options.top_k}")
    if options.top_p < 1:
        parts.append(f"top-p {options.top_p:g}")
    return ", ".join([*parts, f"seed {options.seed}"])
