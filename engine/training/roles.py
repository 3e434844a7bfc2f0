"""Which heads play a plain role: over many sentences for most, in the lecture's sentence for "its"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from engine.analysis import merge_words, span_mass
from engine.errors import InputError
from engine.heads import head_scores
from engine.runner import Runner
from engine.training.folds import LECTURE_ITS
from engine.types import AttentionMap, Kind

# The pattern of engine/heads.py that each role's head shows most, among the heads of one kind.
ROLES: Mapping[str, tuple[Kind, str]] = {
    "previous": ("encoder", "previous token"),
    "next": ("encoder", "next token"),
    "same": ("encoder", "same token"),
    "sink": ("encoder", "delimiters"),
    "alignment": ("cross", "alignment"),
    "decoder-previous": ("decoder", "previous token"),
}


def mean_scores(
    runner: Runner, texts: Sequence[str], report: Callable[[int], None]
) -> tuple[dict[Kind, dict[str, np.ndarray]], int]:
    """Head scores of each kind of map, averaged over the traces of texts with the model's own greedy output.

    Texts that the model does not take are left out.

    Args:
        runner: the model.
        texts: English sentences.
        report: called with 1 after each text.

    Returns:
        By kind and pattern, float64 (layer, head) in [0, 1]; and the number of texts behind them.

    Raises:
        InputError: the model takes none of the texts.
    """
    sums: dict[Kind, dict[str, np.ndarray]] = {}
    count = 0
    for text in texts:
        with suppress(InputError):
            for kind, attention in runner.trace(text).maps.items():
                known = sums.setdefault(kind, {})
                for name, scores in head_scores(attention).items():
                    known[name] = known.get(name, 0.0) + scores
            count += 1
        report(1)
    if not count:
        raise InputError("The model takes none of these texts, so no head can be scored. Give it English sentences.")
    return {kind: {name: total / count for name, total in named.items()} for kind, named in sums.items()}, count


def best_roles(scores: Mapping[Kind, Mapping[str, np.ndarray]]) -> dict[str, dict[str, Any]]:
    """The head with the highest score of each role, layers and heads from 0; the first of equals.

    Args:
        scores: by kind and pattern, (layer, head).
    """
    roles = {}
    for role, (kind, pattern) in ROLES.items():
        found = scores[kind][pattern]
        layer, head = map(int, np.unravel_index(int(found.argmax()), found.shape))
        roles[role] = {"kind": kind, "layer": layer, "head": head, "score": round(float(found[layer, head]), 4)}
    return roles


def head_roles(runner: Runner, texts: Sequence[str], report: Callable[[int], None]) -> dict[str, Any]:
    """The best head of each role over the texts that the model takes, and how many those were."""
    scores, count = mean_scores(runner, texts, report)
    return {"sentences": count, "roles": best_roles(scores)}


def its_scores(runner: Runner) -> dict[str, Any]:
    """The two heads that look most from "its" to "Law" in `LECTURE_ITS`, both of one encoder layer.

    The layer is that of the single strongest head. Where a word is several pieces, its mass is the sum over the pieces
    looked at and the mean over those that look.

    Returns:
        The sentence, the layer, and the heads (from 0, stronger first) with their masses in [0, 1].
    """
    mass = word_mass(runner.trace(LECTURE_ITS).maps["encoder"], "its", "Law")
    layer = int(mass.max(axis=1).argmax())
    heads = np.argsort(-mass[layer], kind="stable")[:2].tolist()
    masses = [round(float(mass[layer, head]), 4) for head in heads]
    return {"english": LECTURE_ITS, "layer": layer, "heads": heads, "masses": masses}


def word_mass(attention: AttentionMap, query: str, key: str) -> np.ndarray:
    """How much one word of an encoder map's text looks at another, each where it stands first as a whole word.

    Returns:
        float32 (layer, head), in [0, 1].
    """
    merged = merge_words(attention)
    row, column = (merged.query_tokens.labels.index(word) for word in (query, key))
    mass: np.ndarray = span_mass(merged.weights, row, [(column,)])[0]
    return mass
