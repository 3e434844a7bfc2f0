"""Experiments on one decision of the output: heads off, patched from the other sentence, or made to look elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import torch

from engine.coreference import Decision, Places, fork_of
from engine.errors import InputError, InputTooLong
from engine.interventions import Force, Head, Intervention, Patch
from engine.knockout import Fork, Instead, Sweep, averages, from_another_run, nothing
from engine.knockout_generic import outputs_of, sweep_any
from engine.mentions import aligned, words_of
from engine.reference import reference_means
from engine.runner import Runner
from engine.types import Kind, Tokens, Trace

How = Literal["zero", "mean", "other"]
"""What stands in place of a head's output: nothing, its mean, or what it gives in the other sentence."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run makes of a decision.

    Attributes:
        log_odds: log p(first word) − log p(second word) at the fork, in nats.
        probabilities: of the pieces that the two words go on with there.
        translation: the model's own output, decoded without a prefix.
    """

    log_odds: float
    probabilities: tuple[float, float]
    translation: str


@dataclass(frozen=True, slots=True)
class Alignment:
    """Positions of two texts that can stand for each other, one to one.

    Attributes:
        positions: (first text, second text), pieces from 0.
        refused: why the others cannot, a sentence each.
    """

    positions: tuple[tuple[int, int], ...]
    refused: tuple[str, ...]


def fork_in(runner: Runner, decision: Decision) -> Fork:
    """`fork_of` for a model, whose outputs have a limit.

    Raises:
        InputError: as there, or a beginning over the output limit.
    """
    fork = fork_of(runner.tokenizer, decision)
    if len(fork.prefix) > runner.longest_output:
        raise InputTooLong(
            f"The output so far has {len(fork.prefix)} tokens and the limit is {runner.longest_output}. Shorten it."
        )
    return fork


@torch.inference_mode()
def outcome(
    runner: Runner,
    text: str,
    decision: Decision,
    interventions: Sequence[Intervention] = (),
    decoding: Sequence[Intervention] | None = None,
) -> Outcome:
    """The decision, and the whole translation, with the interventions made.

    Args:
        runner: the model.
        text: the sentence that is translated.
        decision: what is decided.
        interventions: made under the forced beginning.
        decoding: made while the translation is decoded freely, where output positions differ from those under the
            forced beginning; None for the same.

    Raises:
        InputError: texts, words or interventions that cannot be used.
    """
    fork = fork_in(runner, decision)
    source = runner.tensor(runner.encode(text).ids)
    logits = runner.model(source, runner.tensor(fork.prefix), runner.edits(interventions).at(0))[0, -1].float()
    first, second = logits.log_softmax(-1)[[fork.first, fork.second]].tolist()
    said = runner.trace(text, None, interventions if decoding is None else decoding).translation
    return Outcome(first - second, (math.exp(first), math.exp(second)), said)


def sweep_heads(runner: Runner, text: str, decision: Decision, how: How, other: str = "") -> Sweep:
    """The log-odds with each head changed in turn.

    Args:
        runner: the model.
        text: the sentence that is translated.
        decision: what is decided.
        how: what stands in place of a head's output.
        other: the sentence that outputs are taken from, for `how` "other".

    Raises:
        InputError: texts or words that cannot be used.
    """
    fork = fork_in(runner, decision)
    source = runner.encode(text)
    instead: Instead = nothing
    if how == "mean":
        instead = averages(reference_means(runner.model, runner.tokenizer))
    elif how == "other":
        instead = _from_sentence(runner, runner.encode(other), source, fork)
    return sweep_any(runner, source.ids, fork, instead)


@torch.inference_mode()
def _from_sentence(runner: Runner, there: Tokens, here: Tokens, fork: Fork) -> Instead:
    """The heads' outputs in another sentence under the same prefix, at the aligned positions."""
    outputs = outputs_of(runner, there.ids, fork.prefix)
    same = tuple((step, step) for step in range(len(fork.prefix)))
    positions: dict[Kind, tuple[tuple[int, int], ...]] = {
        "encoder": align_pieces(there, here).positions,
        "decoder": same,
        "cross": same,
    }
    return from_another_run(outputs, positions)


def align_pieces(first: Tokens, second: Tokens) -> Alignment:
    """Which pieces of two sources stand for each other: those of words that are aligned one to one and have equally
    many pieces, and </s>.
    """
    words = [words_of(tokens) for tokens in (first, second)]
    pieces = [_pieces_of(tokens) for tokens in (first, second)]
    pairs = aligned(*([word.text for word in side] for side in words))
    positions: list[tuple[int, int]] = []
    refused: list[str] = []
    for i, j in pairs:
        one, other = pieces[0][i], pieces[1][j]
        if len(one) == len(other):
            positions += zip(one, other, strict=True)
        else:
            refused.append(
                f"“{words[0][i].text}” has {len(one)} piece{'s' * (len(one) > 1)} and "
                f"“{words[1][j].text}” {len(other)}: there is no position for each."
            )
    for side, (name, count) in enumerate((("first", len(words[0])), ("second", len(words[1])))):
        matched = {pair[side] for pair in pairs}
        alone = [words[side][i].text for i in range(count) if i not in matched]
        if alone:
            refused.append(f"Only the {name} sentence has {', '.join(f'“{word}”' for word in alone)}.")
    ends = [max((at for at, special in enumerate(tokens.special) if special), default=-1) for tokens in (first, second)]
    if min(ends) >= 0:
        positions.append((ends[0], ends[1]))
    return Alignment(tuple(sorted(positions)), tuple(refused))


def _pieces_of(tokens: Tokens) -> list[list[int]]:
    """The positions of each word of `words_of`, those of pieces that spell nothing (a lone word boundary) included."""
    groups = groupby((i for i in range(len(tokens)) if not tokens.special[i]), key=lambda i: tokens.words[i])
    return [list(group) for _, group in groups]


def patch_from(runner: Runner, heads: Sequence[Head], there: str, here: str, decision: Decision) -> Patch:
    """The patch that puts heads' outputs in one sentence in the place of those in another.

    Encoder heads are patched at the aligned pieces, decoder and cross heads at every step up to the decision, where
    both runs have read the same.

    Args:
        runner: the model.
        heads: all of one kind.
        there: the sentence that outputs are taken from.
        here: the one they are put into.
        decision: what is decided.

    Raises:
        InputError: texts or words that cannot be used, or heads of several kinds.
    """
    kinds = {head.kind for head in heads}
    if len(kinds) != 1:
        raise InputError("Patch heads of one kind at a time: source and output have other positions.")
    if kinds == {"encoder"}:
        return Patch(tuple(heads), there, None, align_pieces(runner.encode(there), runner.encode(here)).positions)
    steps = len(fork_in(runner, decision).prefix)
    target = decision.said(
        decision.words[0], runner.tokenizer.normalise_output
    )  # whichever word: the run has read the same before it
    return Patch(tuple(heads), there, target, tuple((step, step) for step in range(steps)))


def force_onto(where: Places, heads: Sequence[Head], onto: Literal["A", "B"]) -> Force:
    """The pronoun's attention moved from one candidate to the other.

    Args:
        where: the sentence's places.
        heads: all of one kind.
        onto: the candidate that gets the mass of the other one.

    Raises:
        InputError: heads of several kinds, or something that is not there (`Places.missing`).
    """
    kinds = {head.kind for head in heads}
    if len(kinds) != 1:
        raise InputError("Force heads of one kind at a time: source and output have other positions.")
    (kind,) = kinds
    if reason := where.missing(kind):
        raise InputError(f"{reason} Mark it in the sentence, then move the attention.")
    first, second = where.candidates(kind)
    keys, target = (second, first) if onto == "A" else (first, second)
    return Force(tuple(heads), where.row(kind), keys, target)


def force_at(
    runner: Runner, trace: Trace, where: Places, decision: Decision, heads: Sequence[Head], onto: Literal["A", "B"]
) -> Force:
    """`force_onto` under a decision's forced beginning, whose output positions may not be those of the translation.

    Where the translation begins so too, the places are its own; else the step that decides looks, which only cross
    heads can do: where the nouns stand in the forced beginning is not known.

    Args:
        runner: the model.
        trace: of the sentence, with its own translation.
        where: the places in that trace.
        decision: what is decided.
        heads: all of one kind.
        onto: the candidate that gets the mass of the other one.

    Raises:
        InputError: as `fork_in` and `force_onto`, or decoder heads where the translation begins otherwise.
    """
    own = force_onto(where, heads, onto)
    prefix = fork_in(runner, decision).prefix
    kind = heads[0].kind
    if kind == "encoder" or trace.read.ids[: len(prefix)] == prefix:
        return own
    if kind == "decoder":
        raise InputError(
            f"Its own translation does not begin with “{decision.prefix}”, so the nouns of the output that decoder "
            "heads look at are not known there. Choose another kind of head, or another beginning under “What is "
            "decided”."
        )
    return replace(own, rows=(len(prefix) - 1,))


def all_heads(runner: Runner, kind: Kind, layer: int | None = None) -> tuple[Head, ...]:
    """Every head of a kind, or of one of its layers."""
    config = runner.model.config
    chosen = range(config.attention_layers(kind)) if layer is None else (layer,)
    return tuple(Head(kind, index, head) for index in chosen for head in range(config.attention_heads(kind)))
