"""The same head in two sentences: maps between words brought onto common axes, so that they can be subtracted."""

from __future__ import annotations

from dataclasses import replace

from engine.analysis import merge_words
from engine.errors import InputError
from engine.mentions import aligned
from engine.types import AttentionMap, Tokens


def common_axes(first: AttentionMap, second: AttentionMap) -> tuple[AttentionMap, AttentionMap]:
    """Two maps of one kind, between words, with the same labels: a word that differs is called "tired | wide".

    Heads are named by their sentence too ("head 3, first sentence").

    Args:
        first: between pieces or words.
        second: of the same kind, layers and heads.

    Raises:
        InputError: the words of an axis have no partners one to one; the message names those that stand alone.
    """
    one, other = merge_words(first), merge_words(second)
    query = _joined(one.query_tokens, other.query_tokens)
    keys = _joined(one.key_tokens, other.key_tokens)
    predicted = None
    if one.predicted_tokens is not None and other.predicted_tokens is not None:
        predicted = _joined(one.predicted_tokens, other.predicted_tokens)
    found = []
    for attention, number in ((one, "first"), (other, "second")):
        named = tuple(f"{name}, {number} sentence" for name in attention.head_names)
        found.append(
            replace(attention, head_names=named, query_tokens=query, key_tokens=keys, predicted_tokens=predicted)
        )
    return found[0], found[1]


def _joined(first: Tokens, second: Tokens) -> Tokens:
    pairs = aligned(first.labels, second.labels)
    alone = []
    for side, (name, tokens) in enumerate((("first", first), ("second", second))):
        matched = {pair[side] for pair in pairs}
        if words := [f"“{label}”" for i, label in enumerate(tokens.labels) if i not in matched]:
            alone.append(f"{', '.join(words)} in the {name} {'has' if len(words) == 1 else 'have'} no partner")
    if alone:
        raise InputError(
            f"A difference needs two texts whose words stand for each other one to one: {'; '.join(alone)}. "
            "Look at the two maps side by side instead, or change the sentences."
        )
    labels = tuple(a if a == b else f"{a} | {b}" for a, b in ((first.labels[i], second.labels[j]) for i, j in pairs))
    return replace(first, labels=labels)
