"""Beyond raw weights: what else can be said of one sentence, one row and one head, and whether it agrees.

Attention says where a head looked. How much that moved its output depends on the values; how much the output moved
the answer, on everything after it. Each measure answers another question; `agreement` says how far they differ here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.analysis import merge_tokens, rollout, spearman, value_weighted, word_groups, word_sums
from engine.coreference import Places
from engine.gradients import Objective, attention_gradients, gradient_times_attention, input_gradients
from engine.interventions import Head
from engine.models.attention import MultiHeadAttention
from engine.models.taps import UNTAPPED, Place, Tap
from engine.models.transformer import DecoderLayer, EncoderLayer, Transformer
from engine.runner import Runner
from engine.types import KINDS, AttentionMap, Kind, Tokens, Trace

RAW = "attention"
VALUES = "value-weighted"
GRADIENT_ATTENTION = "gradient × attention"
ROLLOUT = "rollout"
GRADIENT = "gradient"


@dataclass(frozen=True, slots=True)
class Measures:
    """The pronoun's row of one head, several ways, over the words of its key axis.

    Attributes:
        words: the words looked at; special tokens are marked as such.
        rows: by measure, float64 (word,). `attention` and `value-weighted` are shares of the row; `gradient ×
            attention` is signed, in logits; `rollout` is of all heads up to the head's layer; `gradient` is the L2 norm
            over a word's pieces, of no head at all.
    """

    words: Tokens
    rows: Mapping[str, np.ndarray]

    def shown(self) -> np.ndarray:
        """Bool (word,): the words that count for `agreement`: no special tokens."""
        return ~np.array(self.words.special, dtype=bool)


def value_weighted_maps(runner: Runner, trace: Trace) -> dict[Kind, AttentionMap]:
    """Every map of a trace with its weights scaled by what is looked at, ‖α v W_O‖, rows divided by their sums.

    The trace is computed again with its own request, output and interventions included.
    """
    norms = _value_norms(runner, trace)
    return {kind: value_weighted(trace.maps[kind], norms[kind]) for kind in KINDS}


def value_weighted_of(runner: Runner, text: str, kind: Kind) -> AttentionMap:
    """One of `value_weighted_maps`, for a text with the model's own output."""
    return value_weighted_maps(runner, runner.trace(text))[kind]


@torch.inference_mode()
def _value_norms(runner: Runner, trace: Trace) -> dict[Kind, np.ndarray]:
    """‖v W_O‖ by kind, float32 (layer, head, key)."""
    model = runner.transformer
    config = model.config
    like = model.embedding.tokens.weight
    edits = runner.edits(trace.request.interventions).at(0)
    taps: dict[Place, Tap] = {}
    for kind in KINDS:
        shape = (1, config.heads, len(trace.maps[kind].key_tokens), config.head_width)
        for layer in range(config.attention_layers(kind)):
            taps[kind, layer] = replace(edits.get((kind, layer), UNTAPPED), values=like.new_empty(shape))
    model(runner.tensor(trace.source.ids), runner.tensor(trace.read.ids), taps)
    norms: dict[Kind, np.ndarray] = {}
    for kind in KINDS:
        found = [
            transformed_norms(attention, tap.values[0])
            for (its, layer), tap in taps.items()
            if its == kind and tap.values is not None
            for attention in (sublayer(model, (its, layer)),)
        ]
        norms[kind] = torch.stack(found).float().cpu().numpy()
    return norms


def transformed_norms(attention: MultiHeadAttention, values: Tensor) -> Tensor:
    """‖v W_O‖₂ of each head's value vectors. Source: Kobayashi et al. 2020, eq. 3; without the bias of W_O.

    Args:
        attention: whose W_O.
        values: (H, K, d/H).

    Returns:
        (H, K).
    """
    size = values.shape[-1]
    blocks = attention.out_proj.weight.unflatten(1, (attention.heads, size))  # (d, H, d/H)
    return torch.einsum("hkc,dhc->hkd", values, blocks).norm(dim=-1)


def sublayer(model: Transformer, place: Place) -> MultiHeadAttention:
    """The attention of a kind and layer."""
    kind, index = place
    if kind == "encoder":
        layer = model.encoder[index]
        assert isinstance(layer, EncoderLayer)
        return layer.attention
    found = model.decoder[index]
    assert isinstance(found, DecoderLayer)
    return found.cross if kind == "cross" else found.attention


def objective_at(trace: Trace, where: Places, against: int | None = None) -> Objective:
    """The logit of the French pronoun, at the step that predicts its first piece, after the trace's own output.

    Args:
        trace: with a French pronoun.
        where: its places.
        against: a piece whose logit is subtracted.
    """
    step = where.steps[0]
    return Objective(tuple(trace.read.ids[: step + 1]), trace.predicted.ids[step], against)


def measures(runner: Runner, trace: Trace, where: Places, head: Head, objective: Objective) -> Measures:
    """The pronoun's row of a head, each way.

    Pieces are put together as in `merge_words`: a word looked at has the sum over its pieces, a pronoun of several
    pieces the mean over its rows; of `gradient × attention` too, but the row of a decoder or cross head is the step
    that decides alone. Gradients are those of the model as it is, whatever a trace's interventions.

    Args:
        runner: the model.
        trace: of the sentence.
        where: with no `missing` for the head's kind.
        head: whose row.
        objective: what is differentiated.
    """
    attention = trace.maps[head.kind]
    rows = list(where.row(head.kind))
    keys = attention.key_tokens
    weighted = value_weighted_maps(runner, trace)[head.kind]

    def row_of(one: AttentionMap, layer: int, number: int) -> np.ndarray:
        return word_sums(one.weights[layer, number, rows].mean(axis=0, dtype=np.float64), keys)

    products = gradient_times_attention(attention_gradients(runner.model, trace.source.ids, objective))
    product = products[head.kind, head.layer][head.head].float().cpu().numpy()  # (Q, K)
    looking = rows if head.kind == "encoder" else [len(objective.prefix) - 1]
    signed = product[looking].mean(axis=0, dtype=np.float64)
    padded = np.zeros(len(keys))
    padded[: len(signed)] = signed  # later tokens were not there yet when it was decided
    read = input_gradients(runner.model, trace.source.ids, objective)
    vectors = (read.target if head.kind == "decoder" else read.source).float().cpu().numpy()
    squares = np.zeros(len(keys))
    squares[: len(vectors)] = (vectors.astype(np.float64) ** 2).sum(axis=1)
    found = {
        RAW: row_of(attention, head.layer, head.head),
        VALUES: row_of(weighted, head.layer, head.head),
        GRADIENT_ATTENTION: word_sums(padded, keys),
        ROLLOUT: word_sums(_rolled(trace, head, rows), keys),
        GRADIENT: np.sqrt(word_sums(squares, keys)),
    }
    return Measures(merge_tokens(keys, word_groups(keys)), found)


def _rolled(trace: Trace, head: Head, rows: list[int]) -> np.ndarray:
    """The rows' mean of the rollout up to the head's layer; for cross heads, of the layer's mean over the heads, then
    through the whole encoder.
    """
    if head.kind != "cross":
        rolled = rollout(trace.maps[head.kind]).weights[head.layer, 0]
    else:
        encoder = rollout(trace.maps["encoder"]).weights[-1, 0].astype(np.float64)
        rolled = trace.maps["cross"].weights[head.layer].mean(axis=0, dtype=np.float64) @ encoder
    mean: np.ndarray = rolled[rows].mean(axis=0, dtype=np.float64)
    return mean


def agreement(found: Measures) -> tuple[tuple[str, ...], np.ndarray]:
    """Spearman's rank correlation between every two measures, over the words that are not special.

    Signed measures count by their size.

    Returns:
        The measures' names and float64 (measure, measure) in [−1, 1]; NaN where a row has no order.
    """
    names, shown = tuple(found.rows), found.shown()
    sizes = [np.abs(found.rows[name])[shown] for name in names]
    table = np.array([[spearman(one, other) for other in sizes] for one in sizes])
    return names, table


def measures_of(runner: Runner, text: str, where: Places, head: Head, against: int | None = None) -> Measures:
    """`measures` for a text with the model's own output, of the logit of its French pronoun (`objective_at`)."""
    trace = runner.trace(text)
    return measures(runner, trace, where, head, objective_at(trace, where, against))
