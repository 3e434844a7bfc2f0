"""Texts as tokens, attention maps, and one sentence through one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from engine.interventions import Intervention

Kind = Literal["encoder", "decoder", "cross"]
KINDS: tuple[Kind, ...] = ("encoder", "decoder", "cross")
Measure = Literal["attention", "gradient", "squared gradient"]
"""What the numbers of a map are. Gradients are norms, those of a row divided by its largest (`engine.saliency`)."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenized text, one entry per position.

    Attributes:
        text: the normalised text the offsets point into.
        labels: what a screen shows at each position (a piece without its word-boundary mark, a word, or "<s>").
        ids: vocabulary indices; empty where positions are whole words.
        words: the index of the word each position belongs to; special tokens have a word of their own.
        spans: (start, end) character offsets into `text`; (0, 0) for special tokens.
        special: True for <s>, </s>, <pad> and tags, which are no part of the text.
    """

    text: str
    labels: tuple[str, ...]
    ids: tuple[int, ...]
    words: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    special: tuple[bool, ...]

    def __post_init__(self) -> None:
        length = len(self.labels)
        assert len(self.words) == len(self.spans) == len(self.special) == length
        assert len(self.ids) in (0, length)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class AttentionMap:
    """Attention weights of one kind, for every layer and head. Source: Vaswani et al. 2017, eq. 1.

    Row i of a `decoder` or `cross` map is the step that reads `query_tokens[i]` (the first reads <s>) and predicts
    `predicted_tokens[i]`. Encoder maps have no predicted tokens.

    Attributes:
        kind: "encoder" (source looks at source), "decoder" (output at output, causal), "cross" (output at source).
        weights: float32 (layer, head, query, key) in [0, 1]; masked keys are exactly 0. A model's own rows sum to 1;
            those of a maximum over heads or layers, or without special tokens, need not.
        query_tokens: the positions that look.
        key_tokens: the positions looked at.
        predicted_tokens: what each row predicts, as long as `query_tokens`; None for encoder maps.
        layer_names: what a screen calls each layer: "layer 1", ..., or what was put together, "mean of 6 layers".
        head_names: the same for heads.
        measure: what the weights are. Gradients come in this form to be drawn; their rows do not sum to 1, and what
            merges or reduces attention means nothing for them.
        source_name: what a screen calls the text that an encoder reads; "" where a model has one text and no other.
    """

    kind: Kind
    weights: np.ndarray
    query_tokens: Tokens
    key_tokens: Tokens
    predicted_tokens: Tokens | None = None
    layer_names: tuple[str, ...] = ()
    head_names: tuple[str, ...] = ()
    measure: Measure = "attention"
    source_name: str = "source"

    def __post_init__(self) -> None:
        assert self.weights.ndim == 4 and self.weights.dtype == np.float32
        assert self.weights.shape[2:] == (len(self.query_tokens), len(self.key_tokens)), self.weights.shape
        assert self.predicted_tokens is None or len(self.predicted_tokens) == len(self.query_tokens)
        for noun, count in (("layer", self.layers), ("head", self.heads)):
            names = getattr(self, f"{noun}_names") or tuple(f"{noun} {index + 1}" for index in range(count))
            assert len(names) == count, names
            object.__setattr__(self, f"{noun}_names", names)
        self.weights.setflags(write=False)

    @property
    def layers(self) -> int:
        return self.weights.shape[0]

    @property
    def heads(self) -> int:
        return self.weights.shape[1]

    @property
    def sums_to_one(self) -> bool:
        """Whether every row does, to what half precision leaves of that."""
        return bool(np.allclose(self.weights.sum(axis=-1), 1.0, atol=1e-2))

    @property
    def row_tokens(self) -> Tokens:
        """What names the rows on screen: the tokens predicted for cross maps and gradients, which are of their logits;
        else the tokens themselves (read).
        """
        if (self.kind == "cross" or self.measure != "attention") and self.predicted_tokens is not None:
            return self.predicted_tokens
        return self.query_tokens

    @property
    def row_labels(self) -> tuple[str, ...]:
        """The labels of `row_tokens`."""
        return self.row_tokens.labels

    def row_title(self, row: int) -> str:
        """The tooltip of a row: "reads X → predicts Y" where the row predicts, else the token."""
        if self.predicted_tokens is None:
            return self.query_tokens.labels[row]
        return f"reads {self.query_tokens.labels[row]} → predicts {self.predicted_tokens.labels[row]}"

    def masked(self) -> np.ndarray:
        """Bool (query, key), True where the causal mask forbids looking: later positions of a decoder map.

        Merging pieces into words keeps this rule, since words are in reading order. A gradient's row is named by what
        its step predicts: where the first token read is hidden, rows and columns have the same names, and a row's own
        column is masked.
        """
        shape = self.weights.shape[2:]
        if self.kind != "decoder":
            return np.zeros(shape, dtype=bool)
        predicted = self.predicted_tokens if self.measure != "attention" else None
        own = predicted is not None and _first(predicted) == _first(self.key_tokens)
        return np.triu(np.ones(shape, dtype=bool), k=0 if own else 1)


NO_TOKENS = Tokens("", (), (), (), (), ())


def _first(tokens: Tokens) -> tuple[object, ...]:
    """What tells the first token of a text from another."""
    return tokens.spans[:1], tokens.special[:1], tokens.labels[:1]


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """Everything a trace depends on: cache key, permalink and reproducible record in one.

    Attributes:
        model: "name@sha256[:8]" of the weights.
        text: the normalised source text.
        target: the output to force (teacher-forced), or None for the model's own greedy output.
        max_length: the most tokens to generate, </s> included.
        interventions: what is changed in every forward, in this order.
    """

    model: str
    text: str
    target: str | None
    max_length: int
    interventions: tuple[Intervention, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """One sentence through one model: its output and every attention map of one teacher-forced pass.

    Attributes:
        request: what was asked.
        source: the source's tokens, </s> included.
        read: the tokens each decoder step read, starting with <s>.
        predicted: the tokens each step predicted, ending with </s> unless the length limit cut it.
        translation: the output as text.
        maps: AttentionMap by kind.
        token_logprobs: float32 (T,), natural log-probability of `predicted[i]` given all before it, ≤ 0.
        alternatives: for each step the most probable tokens as (label, log-probability), best first.
        device: where it ran, e.g. "cpu".
        milliseconds: wall-clock time of decoding plus the teacher-forced pass.
    """

    request: TraceRequest
    source: Tokens
    read: Tokens
    predicted: Tokens
    translation: str
    maps: Mapping[Kind, AttentionMap]
    token_logprobs: np.ndarray
    alternatives: tuple[tuple[tuple[str, float], ...], ...] = ()
    device: str = "cpu"
    milliseconds: float = 0.0
    notes: tuple[str, ...] = field(default=())
