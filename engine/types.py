"""What crosses borders: plain frozen values of numpy arrays and strings, with no torch and no screen.

Layers and heads count from 0 here; screens add 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from engine.interventions import Intervention

Kind = Literal["encoder", "decoder", "cross"]
KINDS: tuple[Kind, ...] = ("encoder", "decoder", "cross")


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
    """

    kind: Kind
    weights: np.ndarray
    query_tokens: Tokens
    key_tokens: Tokens
    predicted_tokens: Tokens | None = None
    layer_names: tuple[str, ...] = ()
    head_names: tuple[str, ...] = ()

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
    def row_tokens(self) -> Tokens:
        """What names the rows on screen: the tokens predicted for cross maps, else the tokens themselves (read)."""
        if self.kind == "cross" and self.predicted_tokens is not None:
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

        Merging pieces into words keeps this rule, since words are in reading order.
        """
        shape = self.weights.shape[2:]
        if self.kind != "decoder":
            return np.zeros(shape, dtype=bool)
        return np.triu(np.ones(shape, dtype=bool), k=1)


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
