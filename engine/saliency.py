"""Gradients of a translation: which source words, and which words said before, move the logit of each output word.

Source: Madsen 2019, "Visualizing memorization in RNNs" (Distill): ‖∂ logit_k(t̃) / ∂x^t‖₂, here of a model with two
sides. Rows are gradients of different logits: they are not comparable with each other, and are drawn each divided by
its largest. Nothing here is averaged.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from torch import Tensor, nn

from engine.analysis import merge_tokens, word_groups
from engine.connectivity import two_sided
from engine.connectivity_blocks import Mode, Report
from engine.edits import Edits
from engine.interventions import to_json
from engine.models.taps import NO_TAPS, Taps
from engine.models.translator import Translator
from engine.reduce import select
from engine.runner import Runner, guard_memory
from engine.types import AttentionMap, Connectivity, Measure, Tokens, Trace, TraceRequest

Side = Literal["cross", "decoder"]
SIDES: tuple[Side, ...] = ("cross", "decoder")
COLUMNS = ("query_index", "reads", "predicts", "key_index", "key", "gradient", "of_row_largest")
_NORMS: dict[Mode, str] = {
    "one-hot": "one-hot norm",
    "embedding": "embedding norm",
    "squared": "squared one-hot norm",
}


@dataclass(frozen=True, slots=True)
class GradientMap:
    """How much each input position moves the logit of what each output step predicts, one side of the model.

    Row i is the step that reads `read[i]` (the first reads <s>) and predicts `predicted[i]`, whose logit it is about.

    Attributes:
        kind: "cross" (inputs are the source) or "decoder" (inputs are what the decoder read, causal).
        mode: which norm, see `Connectivity`.
        norms: float64 (T, K), ≥ 0; exactly 0 where a step has not read the position yet.
        scales: float64 (T,), what each row is divided by to be drawn: its largest norm; 0 where all are 0.
        read: T tokens or words.
        predicted: T tokens or words, which name the rows.
        keys: K tokens or words, which name the columns.
        source_name: see `AttentionMap`.
    """

    kind: Side
    mode: Mode
    norms: np.ndarray
    scales: np.ndarray
    read: Tokens
    predicted: Tokens
    keys: Tokens
    source_name: str = "source"

    def __post_init__(self) -> None:
        assert self.norms.shape == (len(self.read), len(self.keys)) and len(self.read) == len(self.predicted)
        assert self.scales.shape == (len(self.read),) and self.norms.dtype == self.scales.dtype == np.float64
        for array in (self.norms, self.scales):
            array.setflags(write=False)

    @property
    def shares(self) -> np.ndarray:
        """Each row divided by its scale, float64 (T, K) in [0, 1]."""
        scales = self.scales[:, None]
        return np.divide(self.norms, scales, out=np.zeros_like(self.norms), where=scales > 0)

    @property
    def drawn(self) -> AttentionMap:
        """The shares in the form that every figure draws: one layer, the whole model, and one head, the norm."""
        measure: Measure = "squared gradient" if self.mode == "squared" else "gradient"
        return AttentionMap(
            self.kind,
            self.shares.astype(np.float32)[None, None],
            self.read,
            self.keys,
            self.predicted,
            ("whole model",),
            (_NORMS[self.mode],),
            measure,
            self.source_name,
        )


@dataclass(frozen=True, slots=True)
class Saliency:
    """The gradients of one translation.

    Attributes:
        request: of the trace whose output this is about.
        mode: which norm.
        maps: "cross" and "decoder", between the model's pieces.
    """

    request: TraceRequest
    mode: Mode
    maps: Mapping[Side, GradientMap]


def saliency(runner: Runner, request: TraceRequest, mode: Mode = "one-hot", report: Report | None = None) -> Saliency:
    """How much each source token, and each token said before, moves the logit of every token of the output.

    Args:
        runner: the model.
        request: whose output: the model's own, or the one that it forces; its interventions are made in the forward
            that is differentiated, too, and count as part of the model.
        mode: "one-hot", "embedding" or "squared", see `Connectivity`.
        report: called with the share that is done, in (0, 1]; what it raises ends the work.

    Raises:
        InputError: as `Runner.run`.
        ConfigError: no such mode.
        DeviceError: out of memory.
    """
    return saliency_of(runner, runner.run(request), mode, report)


def saliency_of(runner: Runner, trace: Trace, mode: Mode = "one-hot", report: Report | None = None) -> Saliency:
    """`saliency` of a trace that is there already: its output is not decoded again."""
    with guard_memory(runner.device):
        edits = runner.edits(trace.request.interventions)
        model = _Edited(runner.model, edits) if trace.request.interventions else runner.model
        found = two_sided(model, trace.source.ids, trace.read.ids, trace.predicted.ids, mode, report=report)
    sides: dict[Side, tuple[Connectivity, Tokens]] = {
        "cross": (found.source, trace.source),
        "decoder": (found.target, trace.read),
    }
    maps: dict[Side, GradientMap] = {
        side: GradientMap(
            side, mode, one.relative * one.peaks[:, None], one.peaks.copy(), trace.read, trace.predicted, keys
        )
        for side, (one, keys) in sides.items()
    }
    return Saliency(trace.request, mode, maps)


class _Edited(nn.Module):
    """A model whose forward has edits, for gradients through it; it shares the model's weights."""

    def __init__(self, model: Translator, edits: Edits) -> None:
        super().__init__()
        self.model, self.edits = model, edits
        self.training = model.training

    @property
    def embedding(self) -> nn.Module:
        return self.model.embedding

    @property
    def target_embedding(self) -> nn.Module:
        return self.model.target_embedding

    def forward_from_embeddings(
        self, source: Tensor, target: Tensor, mask: Tensor | None = None, taps: Taps = NO_TAPS
    ) -> Tensor:
        assert not taps, "the edits are the taps"
        return self.model.forward_from_embeddings(source, target, mask, self.edits.at(0))


# ---- words, and special tokens ----


def merge_words(gradients: GradientMap) -> GradientMap:
    """The same between words.

    A column is the norm with respect to all pieces of its word at once: the root of the sum of their squares, or the
    sum where `mode` is "squared". A row is, in each column, the largest over its word's pieces: how much the input
    moves the logit of that piece which it moves most. A word's own first pieces, which its later ones read, are no
    word before it and count as masked. Rows are divided by what is now their largest.
    """
    columns, rows = word_groups(gradients.keys), word_groups(gradients.predicted)
    squares = gradients.mode == "squared"
    scale = gradients.norms.max(initial=0.0) or 1.0  # squares of very small norms would be 0
    sizes = gradients.norms / scale
    added = _each(np.add, sizes if squares else sizes**2, columns, axis=1)
    norms = _each(np.maximum, added if squares else np.sqrt(added), rows, axis=0) * scale
    if gradients.kind == "decoder":
        norms = np.tril(norms)
    return GradientMap(
        gradients.kind,
        gradients.mode,
        norms,
        norms.max(axis=1, initial=0.0),
        merge_tokens(gradients.read, _words_at(gradients.read, [row[0] for row in rows])),
        merge_tokens(gradients.predicted, rows),
        merge_tokens(gradients.keys, columns),
        gradients.source_name,
    )


def _each(reduce: np.ufunc, values: np.ndarray, groups: Sequence[range], axis: int) -> np.ndarray:
    """Each group of neighbours along an axis as one."""
    starts = np.array([group[0] for group in groups], dtype=np.intp)
    found: np.ndarray = reduce.reduceat(values, starts, axis=axis)
    return found


def _words_at(tokens: Tokens, positions: Sequence[int]) -> list[range]:
    """The whole word around each position."""
    words = word_groups(tokens)
    return [next(word for word in words if position in word) for position in positions]


def hide_special(
    gradients: GradientMap, *, rescale: bool, special: bool = True, first: bool = False
) -> GradientMap:  # fmt: skip
    """The same without the columns of some tokens: special ones, whose rows go too, or the first.

    Args:
        gradients: pieces or words.
        rescale: divide each row by the largest of what is left of it, else by what it was divided by before.
        special: hide special tokens, and the rows that predict one.
        first: hide the first token that is read. The row at which it is read predicts another, and stays.
    """
    rows = [i for i, marked in enumerate(gradients.predicted.special) if not (special and marked)]
    columns = [
        i for i, marked in enumerate(gradients.keys.special) if not (special and marked) and not (first and i == 0)
    ]
    norms = gradients.norms[np.ix_(rows, columns)]
    return replace(
        gradients,
        norms=norms,
        scales=norms.max(axis=1, initial=0.0) if rescale else gradients.scales[rows],
        read=select(gradients.read, rows),
        predicted=select(gradients.predicted, rows),
        keys=select(gradients.keys, columns),
    )


def special_first(gradients: GradientMap) -> int:
    """In how many rows of words or pieces that are no special tokens a special one is the largest."""
    rows, columns = ([i for i, special in enumerate(axis.special) if special] for axis in _axes(gradients))
    if not columns:
        return 0
    first = gradients.norms[:, columns].max(axis=1) >= gradients.norms.max(axis=1)
    first[rows] = False
    return int(first.sum())


def _axes(gradients: GradientMap) -> tuple[Tokens, Tokens]:
    return gradients.predicted, gradients.keys


# ---- files ----


def gradient_csv(gradients: GradientMap) -> str:
    """A map as CSV (RFC 4180), one line for every pair of an output step and an input.

    Columns: `COLUMNS`. `query_index` and `key_index` count from 0, since labels repeat; `reads` and `predicts` are the
    step's; `gradient` is the norm itself, `of_row_largest` what a figure draws, in [0, 1]; nine significant digits.
    Labels are in quotation marks and otherwise exactly as they are, also those that begin with = + - or @, which a
    spreadsheet may take for a formula: import these columns as text.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    shares = gradients.shares
    for i, (read, predicted) in enumerate(zip(gradients.read.labels, gradients.predicted.labels, strict=True)):
        writer.writerows(
            (i, read, predicted, j, key, _digits(gradients.norms[i, j]), _digits(shares[i, j]))
            for j, key in enumerate(gradients.keys.labels)
        )
    return text.getvalue()


def saliency_json(saliency: Saliency) -> str:
    """Both maps between pieces as JSON: what was asked, the tokens of every axis, and the norms themselves by row."""
    request = saliency.request
    maps = {
        side: {
            "reads": one.read.labels,
            "predicts": one.predicted.labels,
            "keys": one.keys.labels,
            "gradients": [[_digits(value) for value in row] for row in one.norms],
        }
        for side, one in saliency.maps.items()
    }
    asked = {
        "model": request.model,
        "text": request.text,
        "target": request.target,
        "interventions": [to_json(one) for one in request.interventions],
    }
    content = {**asked, "measure": "gradient", "mode": saliency.mode, "maps": maps}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _digits(value: float) -> float:
    """With nine significant digits: gradients are of float32."""
    return float(f"{value:.9g}")
