"""The decoder of a recurrent translator in the browser, one step at a time: scores, softmax, weighted sum, output.

Source: Bahdanau et al. 2015, section 3.1, and Luong et al. 2015, section 3; the order of the drawing is that of Manning
et al., CS224n, lecture "Machine Translation": encoder states, attention scores, distribution, output.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine.types import DecoderSteps
from viz.components.inline import register
from viz.components.maps import theme_header, token_header
from viz.components.packing import pack, unpack
from viz.components.standalone import standalone_html
from viz.labels import shorten
from viz.pool import block_starts
from viz.theme import LIGHT, Theme

ALTERNATIVES = 5  # outputs that have a bar
CELLS = 24  # of a strip, at most
FORMULAS = {
    "additive": "e = v·tanh(W s + k)",
    "dot": "e = s·k",
    "general": "e = s·W k",
    "none": "",
}
ZERO = 127  # the number of a cell that stands for 0; 0 and 254 stand for the largest magnitude

_mount = register("steps")


def steps_data(
    steps: DecoderSteps,
    *,
    theme: Theme = LIGHT,
    scale: float = 1.0,
    numbers: bool = False,
    step: int = 0,
    file_name: str = "steps",
) -> bytes:
    """What the component receives.

    Args:
        steps: of one sentence, at least one step. Vectors travel as strips of at most `CELLS` cells, each the mean of a
            block: a context's strip is the weighted sum of the annotations' strips, as the vectors are.
        theme: colours and type sizes.
        scale: of type and figure; above 1 for a projector.
        numbers: whether scores, weights and probabilities are printed at first.
        step: shown first, from 0; one too high stands for the last. The browser takes it over when the sentence changes
            or when it is another one than before, else it keeps what the reader did.
        file_name: of saved pictures, without suffix.

    Raises:
        ValueError: when there is no step, or the kind of attention has no formula here.
    """
    count = len(steps.read)
    if not count:
        raise ValueError("steps: give at least one")
    if steps.attention not in FORMULAS:
        raise ValueError(f"attention {steps.attention!r}: choose one of {', '.join(FORMULAS)}")
    source, states = _strips(steps.annotations, steps.contexts), _strips(steps.states)
    header = {
        **theme_header(theme, scale),
        "diverging": theme.diverging,
        "attention": steps.attention,
        "formula": FORMULAS[steps.attention],
        "id": _identity(steps),
        "source": token_header(steps.source),
        "read": token_header(steps.read),
        "predicted": token_header(steps.predicted),
        "alternatives": [_probable(row) for row in steps.alternatives],
        "chosen": [_chosen(*row) for row in zip(steps.alternatives, steps.predicted.labels, strict=True)],
        "range": _range(steps.scores),
        "strips": {
            "source": _described(steps.annotations, source[0][0]),
            "states": _described(steps.states, states[0][0]),
        },
        "numbers": numbers,
        "step": max(0, min(step, count - 1)),
        "file_name": file_name,
    }
    arrays = {
        "annotations": source[0][1],
        "contexts": source[1][1],
        "states": states[0][1],
        "scores": steps.scores.astype(np.float32),
        "weights": steps.weights.astype(np.float32),
    }
    return pack(header, arrays)


def steps(data: bytes, *, key: str, on_change: Callable[[], None] = lambda: None) -> int | None:
    """Mount the figure.

    Args:
        data: from `steps_data`.
        key: its name on the page.
        on_change: called when the reader has gone to another step and settled; not while it plays.

    Returns:
        The step of this sentence that the reader went to, from 0; None until then.
    """
    return _gone_to(_mount(key=key, data=data, on_step_change=on_change).step, unpack(data)[0])


def steps_html(data: bytes, *, title: str, note: str, theme: Theme = LIGHT) -> str:
    """The figure as one HTML file that needs neither Saccade nor a network.

    Args:
        data: from `steps_data`.
        title: of the page, any text.
        note: what was done, in a sentence, any text.
        theme: the one that `data` was made with.
    """
    return standalone_html("steps", data, title=title, note=note, theme=theme)


def _gone_to(made: object, header: Mapping[str, Any]) -> int | None:
    """The step that the browser sent, if it is one of this sentence's: anybody can send anything."""
    if not isinstance(made, Mapping) or made.get("id") != header["id"]:
        return None
    step = made.get("step")
    if isinstance(step, bool) or not isinstance(step, int | float) or step not in range(len(header["read"])):
        return None
    return int(step)


def _identity(steps: DecoderSteps) -> str:
    """A checksum of kind and tokens: a step is told of one sentence, and means nothing for another."""
    labels = [steps.attention, steps.source.labels, steps.read.labels, steps.predicted.labels]
    return hashlib.sha1(json.dumps(labels).encode(), usedforsecurity=False).hexdigest()[:16]


def _strips(*groups: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Each group of vectors (n, D) as uint8 (n, min(D, CELLS)), all on one scale, behind the scale's magnitude."""
    pooled = [_pooled(np.nan_to_num(group, posinf=0, neginf=0)) for group in groups]
    largest = max(float(np.abs(group).max(initial=0.0)) for group in pooled)
    shares = [group / largest if largest else group for group in pooled]
    return [(largest, (ZERO + np.rint(ZERO * share)).astype(np.uint8)) for share in shares]


def _pooled(vectors: np.ndarray) -> np.ndarray:
    """The mean of each block of (n, D): float64 (n, min(D, CELLS)); blocks differ in length by at most 1."""
    width = vectors.shape[1]
    starts = block_starts(width, min(width, CELLS))
    sums: np.ndarray = np.add.reduceat(vectors.astype(np.float64), starts, axis=1)
    return sums / np.diff(starts, append=width)


def _described(vectors: np.ndarray, largest: float) -> dict[str, Any]:
    width = vectors.shape[1]
    return {"width": width, "cells": min(width, CELLS), "largest": round(largest, 4)}


def _range(scores: np.ndarray) -> tuple[float, float]:
    """The lowest and highest finite score of all steps, 0 included: what the bars' room stands for."""
    finite = scores[np.isfinite(scores)]
    return float(finite.min(initial=0.0)), float(finite.max(initial=0.0))


def _probable(row: tuple[tuple[str, float], ...]) -> list[tuple[str, float]]:
    return [(shorten(label), round(float(np.exp(logprob)), 6)) for label, logprob in row[:ALTERNATIVES]]


def _chosen(row: tuple[tuple[str, float], ...], label: str) -> int:
    """Which of the bars is the predicted token's; -1 for none. Two pieces may well have one label: then the first."""
    return next((place for place, (name, _) in enumerate(row[:ALTERNATIVES]) if name == label), -1)
