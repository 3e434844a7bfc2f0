"""What crosses borders: plain frozen values of numpy arrays and strings, with no torch and no screen.

Layers and heads count from 0 here; screens add 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """

    kind: Kind
    weights: np.ndarray
    query_tokens: Tokens
    key_tokens: Tokens
    predicted_tokens: Tokens | None = None
    layer_names: tuple[str, ...] = ()
    head_names: tuple[str, ...] = ()
    measure: Measure = "attention"

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
        its step predicts: where <s> is hidden, rows and columns have the same names, and a row's own column is masked.
        """
        shape = self.weights.shape[2:]
        if self.kind != "decoder":
            return np.zeros(shape, dtype=bool)
        own = self.measure != "attention" and self.key_tokens.special[:1] != (True,)
        return np.triu(np.ones(shape, dtype=bool), k=0 if own else 1)


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


MASKED = -1
"""In place of a word's index: the row is no target's, e.g. since its word is outside the vocabulary."""


@dataclass(frozen=True, slots=True)
class Connectivity:
    """One number for each output time and input time. Source: Madsen 2019.

    Modes, with g the gradient of the target's logit with respect to an input's vector and E (symbols, d) the vectors of
    all symbols: "embedding" ‖g‖₂, "one-hot" √(gᵀEᵀE g), which is the norm with respect to the one-hot input, and
    "squared" gᵀEᵀE g, without the root, which the article's figures show. Rows are not comparable with each other.

    Attributes:
        values: float32 (T, T), or (T, S) for the source of an encoder-decoder model; row = output time t̃, column =
            input time t. After a row's own time exactly 0; a masked row is 0 throughout. "squared" numbers below 1e-38
            are 0 here, as in the article's data.
        relative: float32, each row divided by its largest |value|, which loses nothing small; 0 where all is 0.
        peaks: float64 (T,), those largest.
        mode: "embedding", "one-hot" or "squared", or the name of an attribution, whose values are signed.
        words: whose logit each row is about; −1 where the row is masked.
    """

    values: np.ndarray
    relative: np.ndarray
    peaks: np.ndarray
    mode: str
    words: tuple[int, ...]

    def __post_init__(self) -> None:
        assert self.values.shape == self.relative.shape and self.values.dtype == self.relative.dtype == np.float32
        assert len(self.values) == len(self.words) == len(self.peaks)
        for array in (self.values, self.relative, self.peaks):
            array.setflags(write=False)

    @classmethod
    def of(cls, exact: np.ndarray, mode: str, words: Sequence[int]) -> Connectivity:
        """From float64 numbers."""
        peaks = np.abs(exact).max(1, initial=0.0)
        relative = np.divide(exact, peaks[:, None], out=np.zeros_like(exact), where=peaks[:, None] > 0)
        with np.errstate(under="ignore", over="ignore"):
            return cls(exact.astype(np.float32), relative.astype(np.float32), peaks, mode, tuple(words))

    @property
    def masked(self) -> np.ndarray:
        """Bool (T,), True at rows that are no target's."""
        return np.array(self.words) == MASKED


Suggestions = tuple[tuple[str, float], ...]
"""Words and their probabilities in [0, 1], most probable first."""


@dataclass(frozen=True, slots=True)
class ConnectedText:
    """A text, what a network suggests at each character, and what each suggestion rests on.

    Position t has read the characters 0..t and predicts the word that character t belongs to; a space belongs to the
    word after it. Source: Madsen 2019, "Visualizing memorization in RNNs".

    Attributes:
        name: of the network, for people.
        text: the characters (T,), each a small letter a-z or a space; the first is a space in a network of this
            project.
        desired: (T,) the word that each character belongs to; "" where it is outside the vocabulary or unfinished.
        suggestions: (T,) the three most probable words at each character.
        targets: (T,) the word whose logit each row of `connectivity` is about; "" where the row is masked.
        connectivity: float32 (T, T), row = output time, column = input time; rows masked where `targets` is "".
        window: the most characters that are read at once; 0 where the whole text is.
        first: (T,) the first character that can have reached each position; empty where `window` tells it: the
            positions before that many characters see everything, each later one the last so many.
    """

    name: str
    text: str
    desired: tuple[str, ...]
    suggestions: tuple[Suggestions, ...]
    targets: tuple[str, ...]
    connectivity: Connectivity
    window: int = 0
    first: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        length = len(self.text)
        assert len(self.first) in (0, length) and all(0 <= start <= time for time, start in enumerate(self.first))
        assert len(self.desired) == len(self.suggestions) == len(self.targets) == length
        assert self.connectivity.values.shape == (length, length)

    def __len__(self) -> int:
        return len(self.text)

    @property
    def words(self) -> np.ndarray:
        """The number of each character's word, from 0; a space belongs to the word after it: int (T,)."""
        spaces = np.array([letter == " " for letter in self.text], dtype=int)
        return np.cumsum(spaces) - int(self.text[:1] == " ")

    @property
    def known(self) -> np.ndarray:
        """How many letters of its word each position has read: 0 at the space before it, int (T,)."""
        counts, count = [], 0
        for letter in self.text:
            count = 0 if letter == " " else count + 1
            counts.append(count)
        return np.array(counts, dtype=int)

    @property
    def reached_from(self) -> np.ndarray:
        """The first character that can have reached each position, int (T,)."""
        if self.first:
            return np.array(self.first, dtype=int)
        times = np.arange(len(self))
        return np.maximum(0, times - self.window + 1) if self.window else np.zeros_like(times)
